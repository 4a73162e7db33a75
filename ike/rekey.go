package ike

import "time"

// A rekey begins early enough for lost messages, and at a random point, so that neither the two ends nor a
// thousand peers do it at once:
//
//	lifetime   |----------------------------------------|-----------|----------|
//	           0                                  85..90 %      92..94 %     100 %
//	                                             who began    the other end   hard
//	                                                            takes over
//
// Never within the last 60 s (ScreenOS wakes up 10 s before the end), and never in the first half. SAs
// that live for less than 60 s are not rekeyed early: a peer that wants such a thing shall do it itself.

// lastMinute is how long before the end rekeying has begun at the latest.
const lastMinute = 60 * time.Second

// rekeyMargin is how long before the end of an SA of that lifetime we begin to replace it; 0: we do not.
// began says whether we began the exchange that made it.
func rekeyMargin(e *Engine, life time.Duration, began bool) time.Duration {
	if life < lastMinute {
		return 0
	}
	margin := e.jitter(life*10/100, life*15/100)
	least := lastMinute + e.jitter(lastMinute/20, lastMinute/4)
	if !began {
		margin = e.jitter(life*6/100, life*8/100)
		least = lastMinute + e.jitter(0, lastMinute/20)
	}
	margin = max(margin, least)
	if half := life / 2; margin > half { // short lives: no room for a minute, but still one end before the other
		margin = half - e.jitter(half*10/100, half*20/100)
		if !began {
			margin = half - e.jitter(half*40/100, half*60/100)
		}
	}
	return margin
}

// rekeyVolume is after how many bytes of a limit we begin to replace an SA.
func rekeyVolume(e *Engine, limit uint64, began bool) uint64 {
	low, high := time.Duration(850), time.Duration(900)
	if !began {
		low, high = 920, 940
	}
	return limit / 1000 * uint64(e.jitter(low, high)) //nolint:gosec // 850..940
}

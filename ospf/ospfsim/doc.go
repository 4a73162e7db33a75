// Package ospfsim runs many ospf.Instances on a simulated network, in simulated time.
//
//	Router ── Send ──► Link (delay, jitter, loss, duplicates, cut) ──► Router
//	   ▲                                                                  │
//	   └───────────── one heap of (time, number, what) ◄── Deadline ──────┘
//
// No goroutine, no clock, no sleep: Net.Run takes the earliest event, feeds it to its router and turns the
// outputs into new events. The same seed gives the same run, packet for packet. Links carry OSPF payloads,
// not IP packets: nothing is fragmented, and sizes are not limited.
//
// Read net.go; script.go runs text scenarios on top of it.
package ospfsim

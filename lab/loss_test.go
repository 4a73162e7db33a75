package lab

import (
	"testing"
	"time"
)

// sent makes probes 10 ms apart: '.' is answered, 'x' is not.
func sent(picture string) []probe {
	start := time.Unix(1000, 0)
	probes := make([]probe, len(picture))
	for i, c := range picture {
		probes[i] = probe{sent: start.Add(time.Duration(i) * 10 * time.Millisecond), answered: c == '.'}
	}
	return probes
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, picture string
		from          int
		want          interruption
	}{
		{"nothing sent", "", 0, interruption{0, -1, -1, 0}},
		{"nothing lost", "......", 0, interruption{0, -1, -1, 0}},
		{"one gap", "..xxx..", 0, interruption{3, 2, 5, 30 * time.Millisecond}},
		{"one probe", "..x", 0, interruption{1, 2, -1, 0}},
		{"still away", "..xxxx", 0, interruption{4, 2, -1, 0}},
		{"flickering traffic is not back", "..xx.x..", 0, interruption{3, 2, 6, 40 * time.Millisecond}},
		{"losses before the start do not count", "xx..x.", 2, interruption{1, 4, 5, 10 * time.Millisecond}},
		{"start behind the end", "xx", 5, interruption{0, -1, -1, 0}},
	} {
		if got := measure(sent(tt.picture), tt.from); got != tt.want {
			t.Errorf("%s: measure(%q, %d) = %+v, want %+v", tt.name, tt.picture, tt.from, got, tt.want)
		}
	}
}

func TestMeasureCountsTimeNotNumbers(t *testing.T) {
	t.Parallel()
	probes := sent(".xx.")
	probes[3].sent = probes[3].sent.Add(500 * time.Millisecond) // the sender was held up
	if got, want := measure(probes, 0).away, 520*time.Millisecond; got != want {
		t.Errorf("away %s, want %s", got, want)
	}
}

func TestSteady(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, picture string
		from, n       int
		age           time.Duration // of the last probe
		want          bool
	}{
		{"enough answered", "....", 0, 4, time.Second, true},
		{"too few", "...", 0, 4, time.Second, false},
		{"too few since the start", "......", 3, 4, time.Second, false},
		{"one lost among the last", "..x...", 0, 4, time.Second, false},
		{"lost before the last", "x....", 0, 4, time.Second, true},
		{"the youngest may still be answered", "....xx", 0, 4, 10 * time.Millisecond, true},
		{"the youngest are lost", "....xx", 0, 4, time.Second, false},
		{"a young one without an answer does not count as answered", "...x", 0, 4, 10 * time.Millisecond, false},
	} {
		probes := sent(tt.picture)
		now := probes[len(probes)-1].sent.Add(tt.age)
		if got := steady(probes, tt.from, tt.n, now, 100*time.Millisecond); got != tt.want {
			t.Errorf("%s: steady(%q) = %t, want %t", tt.name, tt.picture, got, tt.want)
		}
	}
}

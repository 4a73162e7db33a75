package ospf

import (
	"net/netip"
	"testing"
	"time"
)

// A change that waits for MinLSInterval must not outlive the shutdown that comes before it.
func TestShutdownWhileAnOriginationWaits(t *testing.T) {
	t.Parallel()
	in := New()
	now := time.Unix(1_700_000_000, 0)
	link := InterfaceConfig{
		Name: "a-b", Type: PointToPoint, Address: netip.MustParsePrefix("10.255.0.1/30"), Cost: 10, MTU: 1422,
		HelloInterval: time.Second, RouterDeadInterval: 4 * time.Second,
	}
	lan := InterfaceConfig{Name: "lan", Type: Broadcast, Passive: true, Address: netip.MustParsePrefix("10.1.0.0/24"), Cost: 10}
	in.Step(now, Configure{Config{RouterID: 1, Interfaces: []InterfaceConfig{link, lan}}}, nil)
	for i, input := range []Input{
		InterfaceUp{"lan"}, InterfaceUp{"a-b"}, Tick{}, InterfaceDown{Interface: "a-b", Reason: "the peer deleted the SAs"}, Shutdown{}, Tick{},
	} {
		in.Step(now.Add(time.Duration(i)*100*time.Millisecond), input, nil)
	}
	if d := in.Deadline(); !d.IsZero() {
		t.Errorf("after Shutdown the deadline is %v, want never", d)
	}
	if len(in.Routes()) != 0 {
		t.Errorf("after Shutdown there are routes: %v", in.Routes())
	}
}

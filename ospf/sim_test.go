package ospf_test

import (
	"net/netip"
	"testing"
	"time"

	"meshrouter/ospf"
	"meshrouter/ospf/ospfsim"
)

// area is the routers of a test by number; router i is 10.0.0.i, link i-j is 10.x.y.0/30.
type area struct {
	*ospfsim.Net
	routers map[int]*ospfsim.Router
}

func TestTwoInstancesToFull(t *testing.T) {
	t.Parallel()
	n := ospfsim.New(1)
	cfg := func(id uint32, addr, lan string) ospf.Config {
		auth := ospf.Auth{Type: ospf.CryptographicAuth, Keys: []ospf.Key{{ID: 1, Key: []byte("k")}}}
		return ospf.Config{RouterID: ospf.RouterID(id), Interfaces: []ospf.InterfaceConfig{
			{Name: "t", Address: netip.MustParsePrefix(addr), Cost: 10, HelloInterval: time.Second, RouterDeadInterval: 4 * time.Second, Auth: auth},
			{Name: "lan", Type: ospf.Broadcast, Passive: true, Address: netip.MustParsePrefix(lan), Cost: 1},
		}}
	}
	a := n.AddRouter("a", cfg(1, "10.255.0.1/30", "10.1.0.1/24"))
	b := n.AddRouter("b", cfg(2, "10.255.0.2/30", "10.2.0.1/24"))
	n.Connect(a, "t", b, "t", 10*time.Millisecond)
	n.Trace = func(now time.Time, r *ospfsim.Router, o ospf.Output) {
		t.Logf("%v %s %T %v", n.Elapsed(), r.Name, o, o)
	}
	a.AllUp()
	b.AllUp()
	n.Run(8 * time.Second)
	t.Log(a.Instance.Neighbors(n.Now()), a.Routes, a.Instance.Counters())
	if len(a.Routes) != 3 || a.Instance.Summary(n.Now()).FullCount != 1 {
		t.Fail()
	}
	n.Run(2 * time.Hour)
	t.Log(a.Instance.Neighbors(n.Now()), a.Routes, a.Instance.Counters())
}

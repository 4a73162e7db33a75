package lan

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
)

// wire is what ospf's shell needs of Conn and Port alike.
type wire interface {
	Interface() string
	ReadFrom(b []byte) (n int, src, dst netip.Addr, err error)
	WriteTo(dst netip.Addr, payload []byte) error
	Close() error
}

var (
	_ wire = (*Conn)(nil)
	_ wire = (*Port)(nil)
)

func three() (s *Segment, a, b, c *Port) {
	s = new(Segment)
	at := func(name, addr string) *Port { return s.Attach(name, netip.MustParseAddr(addr)) }
	return s, at("a", "10.0.0.1"), at("b", "10.0.0.2"), at("c", "10.0.0.3")
}

// expect reads one packet from p and compares all of it.
func expect(t *testing.T, p wire, src string, dst netip.Addr, payload string) {
	t.Helper()
	var b [100]byte
	n, from, to, err := p.ReadFrom(b[:])
	if err != nil {
		t.Fatal(err)
	}
	if from.String() != src || to != dst || !bytes.Equal(b[:n], []byte(payload)) {
		t.Errorf("%s read %q from %v to %v, want %q from %s to %v", p.Interface(), b[:n], from, to, payload, src, dst)
	}
}

func send(t *testing.T, p wire, dst netip.Addr, payload string) {
	t.Helper()
	if err := p.WriteTo(dst, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

func TestGroupsReachAllOthers(t *testing.T) {
	t.Parallel()
	_, a, b, c := three()
	send(t, a, AllSPFRouters(), "hello")
	send(t, c, AllDRouters(), "update")
	expect(t, b, "10.0.0.1", AllSPFRouters(), "hello")
	expect(t, b, "10.0.0.3", AllDRouters(), "update")
	expect(t, c, "10.0.0.1", AllSPFRouters(), "hello")
	expect(t, a, "10.0.0.3", AllDRouters(), "update") // and not its own hello before it
}

func TestUnicastReachesOne(t *testing.T) {
	t.Parallel()
	_, a, b, c := three()
	send(t, a, c.addr, "for c")
	send(t, a, AllSPFRouters(), "for all")
	expect(t, c, "10.0.0.1", c.addr, "for c")
	expect(t, b, "10.0.0.1", AllSPFRouters(), "for all")
}

func TestCutIsSilent(t *testing.T) {
	t.Parallel()
	s, a, b, _ := three()
	s.Cut(true)
	send(t, a, AllSPFRouters(), "lost")
	s.Cut(false)
	send(t, a, AllSPFRouters(), "arrives")
	expect(t, b, "10.0.0.1", AllSPFRouters(), "arrives")
}

func TestPayloadIsCopied(t *testing.T) {
	t.Parallel()
	_, a, b, _ := three()
	payload := []byte("before")
	if err := a.WriteTo(AllSPFRouters(), payload); err != nil {
		t.Fatal(err)
	}
	copy(payload, "after!")
	expect(t, b, "10.0.0.1", AllSPFRouters(), "before")
}

func TestAFullPortDropsAndCounts(t *testing.T) {
	t.Parallel()
	_, a, b, _ := three()
	for range portQueue + 3 {
		send(t, a, AllSPFRouters(), "flood")
	}
	if b.Dropped() != 3 {
		t.Errorf("Dropped() = %d, want 3", b.Dropped())
	}
}

func TestCloseEndsReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := three()
		ended := make(chan error)
		go func() {
			_, _, _, err := b.ReadFrom(make([]byte, 10))
			ended <- err
		}()
		synctest.Wait()
		for range 2 { // closing twice is no error
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom = %v, want net.ErrClosed", err)
		}
		if err := b.WriteTo(a.addr, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteTo = %v, want net.ErrClosed", err)
		}
		send(t, a, AllSPFRouters(), "nobody blocks")
	})
}

func TestOpenNamesTheInterface(t *testing.T) {
	t.Parallel()
	_, err := Open("no-such-dev0", netip.Addr{})
	if err == nil || err.Error()[:17] != "lan: no-such-dev0" {
		t.Errorf("Open = %v, want an error that begins with the interface", err)
	}
}

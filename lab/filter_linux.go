package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// filterTable is the name of the lab's nftables tables, each in a namespace of the run.
const filterTable = "meshrouter-lab"

// A filter is one nftables table with rules that drop and count.
type filter struct {
	conn  *nftables.Conn
	table *nftables.Table
	chain *nftables.Chain
}

// dropBetween makes the internet lose every packet between the addresses of each pair, in
// both directions and in the middle of the path: inside the bridge, so that no sender learns of it.
func (in *internet) dropBetween(pairs ...[2]netip.Addr) error {
	f, err := newFilter(in.ns, nftables.TableFamilyBridge, nftables.ChainHookForward, nftables.ChainPriorityRef(0))
	if err != nil {
		return err
	}
	for _, p := range pairs {
		f.drop(isIPv4(), at(12, p[0]), at(16, p[1]))
		f.drop(isIPv4(), at(12, p[1]), at(16, p[0]))
	}
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("cut with nftables (family bridge): %w", err)
	}
	in.cut = f
	return nil
}

// mend ends the cut.
func (in *internet) mend() error {
	if in.cut == nil {
		return errors.New("nothing is cut")
	}
	in.cut.conn.DelTable(in.cut.table)
	if err := in.cut.conn.Flush(); err != nil {
		return fmt.Errorf("mend with nftables: %w", err)
	}
	in.cut = nil
	return nil
}

// dropped is how many packets the cut has swallowed.
func (in *internet) dropped() (uint64, error) {
	if in.cut == nil {
		return 0, nil
	}
	return in.cut.dropped()
}

// hideClosedPorts keeps a site's kernel from answering "port unreachable" or "protocol unreachable"
// while no router listens there yet or any more, as the firewall in front of a real site does. The
// wire check can then demand that nothing but IKE, ESP and ARP is ever seen.
func hideClosedPorts(ns *namespace, wan string) error {
	f, err := newFilter(ns, nftables.TableFamilyIPv4, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	if err != nil {
		return err
	}
	dev := make([]byte, unix.IFNAMSIZ)
	copy(dev, wan)
	f.drop([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: dev},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_ICMP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{3}}, // destination unreachable
	})
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("nftables in %s: %w", ns.name, err)
	}
	return nil
}

func newFilter(ns *namespace, family nftables.TableFamily, hook *nftables.ChainHook, priority *nftables.ChainPriority) (*filter, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.fd)))
	if err != nil {
		return nil, fmt.Errorf("nftables in %s: %w", ns.name, err)
	}
	f := &filter{conn: conn}
	f.table = conn.AddTable(&nftables.Table{Name: filterTable, Family: family})
	f.chain = conn.AddChain(&nftables.Chain{Name: "drop", Table: f.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority})
	return f, nil
}

// drop adds a rule that counts and drops what all matches fit.
func (f *filter) drop(matches ...[]expr.Any) {
	var exprs []expr.Any
	for _, m := range matches {
		exprs = append(exprs, m...)
	}
	exprs = append(exprs, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
	f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: f.chain, Exprs: exprs})
}

// dropped is the sum of the rules' counters.
func (f *filter) dropped() (uint64, error) {
	rules, err := f.conn.GetRules(f.table, f.chain)
	if err != nil {
		return 0, fmt.Errorf("nftables counters: %w", err)
	}
	var sum uint64
	for _, r := range rules {
		for _, e := range r.Exprs {
			if c, ok := e.(*expr.Counter); ok {
				sum += c.Packets
			}
		}
	}
	return sum, nil
}

// isIPv4 matches an IPv4 packet in a frame.
func isIPv4() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x08, 0x00}},
	}
}

// at matches an address at an offset of the network header.
func at(offset uint32, a netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
	}
}

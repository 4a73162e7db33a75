package router

import (
	"net/netip"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/ike"
	"meshrouter/ike/isakmp"
	"meshrouter/mesh"
	"meshrouter/ospf"
)

// ikeConfig is the plan in the words of package ike.
func (p *plan) ikeConfig() ike.Config {
	var c ike.Config
	for _, l := range p.order {
		s := l.Suite
		c.Peers = append(c.Peers, ike.PeerConfig{
			ID: ike.PeerID(l.Link), Local: l.Local, Remote: l.Remote, PSK: l.PSK,
			LocalID: ikeIdentity(l.LocalID), RemoteID: ikeIdentity(l.RemoteID),
			Profile: ikeProfile(l.Profile), Initiate: ikeInitiate(l.Initiate),
			Phase1: []ike.Phase1Transform{{
				Encryption: ike.Encryption(s.IKE.Encryption), KeyLength: s.IKE.KeyLength,
				Hash: ike.Hash(s.IKE.Hash), Group: ike.Group(s.IKE.Group),
			}},
			Phase2: []ike.Phase2Transform{{
				ID: ike.ESPTransform(s.ESP.ID), KeyLength: s.ESP.KeyLength, Auth: ike.AuthAlgorithm(s.ESP.Auth),
			}},
			PFS: ike.Group(s.PFS), Mode: ike.EncapsulationMode(l.Mode),
			LocalTS: ikeSelector(l.LocalTS), RemoteTS: ikeSelector(l.RemoteTS),
			Phase1Lifetime: s.IKELifetime, Phase2Lifetime: s.ESPLifetime, Phase2Kilobytes: s.Kilobytes,
			DPD: l.DPD, NATT: ikeNATT(l.NATT), Source: l.Source, SuiteSource: s.Source, PSKSource: l.PSKSource,
		})
	}
	return c
}

func ikeIdentity(id mesh.Identity) ike.Identity {
	return ike.Identity{Type: ike.IDType(id.Type), Data: id.Data}
}

func ikeSelector(s mesh.Selector) ike.Selector {
	return ike.Selector{Prefix: s.Prefix, Subnet: s.Subnet, Protocol: s.Protocol}
}

func ikeProfile(s mesh.System) ike.Profile {
	switch s {
	case mesh.OpenBSD:
		return ike.ProfileOpenBSD
	case mesh.ScreenOS:
		return ike.ProfileScreenOS
	case mesh.StrongSwan:
		return ike.ProfileStrongSwan
	default:
		return ike.ProfileMeshrouter
	}
}

func ikeInitiate(i mesh.Initiate) ike.Initiate {
	switch i {
	case mesh.InitiateStandby:
		return ike.InitiateStandby
	case mesh.InitiateNever:
		return ike.InitiateNever
	default:
		return ike.InitiateAlways
	}
}

func ikeNATT(n mesh.NATT) ike.NATTraversal {
	switch n {
	case mesh.NATTForce:
		return ike.NATTForce
	case mesh.NATTOff:
		return ike.NATTOff
	default:
		return ike.NATTAuto
	}
}

// ospfConfig is the plan in the words of package ospf. firstSequence continues what was sent before.
func (p *plan) ospfConfig(firstSequence uint32) ospf.Config {
	c := ospf.Config{
		RouterID: ospf.RouterID(number(p.site.RouterID)), Area: ospf.AreaID(number(p.inventory.OSPF.Area)),
		SPFDelay: p.inventory.OSPF.SPFDelay, SPFHold: p.inventory.OSPF.SPFHold,
		FirstSequence: firstSequence,
	}
	for _, l := range p.order {
		i := ospf.InterfaceConfig{
			Name: l.Link, Type: ospf.PointToPoint, Address: l.TunnelLocal, Peer: l.TunnelRemote.Addr(),
			HostRoutes: l.HostRoutes, HelloMask: l.HelloMask, Cost: ospf.Metric(l.Cost), //nolint:gosec // mesh checked the range
			HelloInterval: l.Hello, RouterDeadInterval: l.Dead,
			RxmtInterval: l.Retransmit, InfTransDelay: l.TransmitDelay,
			Auth: ospfAuth(l.Auth), MTU: l.mtu, DDMTU: uint16(l.DDMTU), StrictMTU: l.StrictMTU, Source: l.Source, //nolint:gosec // mesh checked the range
		}
		if l.DDMTU == 0 {
			i.DDMTU = uint16(l.mtu) //nolint:gosec // an MTU of IPv4
		}
		c.Interfaces = append(c.Interfaces, i)
	}
	for _, lan := range p.site.LAN {
		c.Interfaces = append(c.Interfaces, p.lanInterface(lan))
	}
	return c
}

// lanInterface announces a LAN: a passive interface, named for its device where the file names it.
func (p *plan) lanInterface(lan netip.Prefix) ospf.InterfaceConfig {
	i := ospf.InterfaceConfig{
		Name: lan.String(), Type: ospf.Broadcast, Passive: true, Address: lan, Cost: 10,
		HelloInterval: 10 * time.Second, RouterDeadInterval: 40 * time.Second, MTU: p.site.LinkMTU, Source: p.site.Source,
	}
	for _, dev := range p.site.LANInterfaces {
		if dev.Prefix.Masked() == lan.Masked() {
			i.Name = dev.Name
			if dev.Cost != 0 {
				i.Cost = ospf.Metric(dev.Cost) //nolint:gosec // mesh checked the range
			}
		}
	}
	return i
}

func ospfAuth(a mesh.Auth) ospf.Auth {
	o := ospf.Auth{Type: ospf.AuthType(a.Type)}
	for _, k := range a.Keys {
		o.Keys = append(o.Keys, ospf.Key{ID: k.ID, Key: k.Key})
	}
	return o
}

// espParams is what IKE negotiated in the words of package esp.
func espParams(sa ike.ChildSA, counters *esp.Counters) esp.Params {
	p := esp.Params{
		SPI: sa.SPI, Cipher: esp.Cipher(sa.Transform.ID), Auth: esp.Auth(sa.Transform.Auth), //nolint:gosec // DOI values below 256
		EncKey: sa.EncKey, AuthKey: sa.AuthKey, Mode: esp.Tunnel, Src: sa.Src, Dst: sa.Dst, Counters: counters,
	}
	if sa.Mode == isakmp.Transport {
		p.Mode = esp.Transport
	}
	if !sa.UDP {
		p.Src, p.Dst = netip.AddrPortFrom(sa.Src.Addr(), 0), netip.AddrPortFrom(sa.Dst.Addr(), 0)
	}
	return p
}

// number is an IPv4 address as the 32-bit number that OSPF makes of it.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// dotted is the reverse of number.
func dotted[T ~uint32](n T) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// phase1Name spells a phase 1 transform as the mesh file does: 3des-sha1-modp1024.
func phase1Name(t ike.Phase1Transform) string {
	return mesh.IKETransform{
		Encryption: uint16(t.Encryption), KeyLength: t.KeyLength, Hash: uint16(t.Hash), Group: uint16(t.Group),
	}.String()
}

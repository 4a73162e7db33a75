package mesh

import "time"

// A profile is what one kind of system expects of its peers. Both ends of a link must agree in most
// of it, so the two profiles of a link are merged; see merge.
type profile struct {
	// hostAddresses: the tunnel's addresses are a pair of /32, as in hostname.gre0's
	// `inet A 255.255.255.255 B` (openbsd-facts.md, 7 and 10), not a /30 (screenos-facts.md, 4).
	hostAddresses bool
	// subnet32: a host in a phase 2 identity goes as ID_IPV4_ADDR_SUBNET with a mask of 32 bits
	// (screenos-facts.md, 7.1: `set ike id-mode subnet` is its default). isakmpd takes only the type
	// that it has: ID_IPV4_ADDR for `from A`, the subnet for `from A/32` (openbsd-facts.md, 2).
	subnet32 bool
	// ddMTU is the Interface MTU that peers announce to it: ospfd drops one larger than its own 1476
	// (openbsd-facts.md, 7), a ScreenOS tunnel has 1500 (screenos-facts.md, 7.9). 0: the tunnel's own.
	ddMTU int
	// helloBits: the mask in hellos to it, whatever the tunnel's: a ScreenOS tunnel is a /30, and
	// whether it ignores another mask is not known (screenos-facts.md, 4 and 7.9). 0: the tunnel's.
	helloBits int
	// eager orders who starts: the end with the smaller one does, the other one waits. isakmpd comes
	// first, since it does not answer a second main mode for 120 s but starts one itself
	// (isakmpd-wire.md, 9.2); ScreenOS comes last, since it starts only when traffic comes.
	eager int
	// Lifetimes for suites that name none; zero: no wish. isakmpd offers 3600 s and 1200 s, and takes
	// 60..86400 s (openbsd-facts.md, 1; isakmpd-wire.md, 9.3); ScreenOS 28800 s and 3600 s, 180..86400 s
	// (screenos-facts.md, 1).
	ikeLifetime, espLifetime time.Duration
	shortest, longest        time.Duration // of phase 1 and 2
	// dpd: probe it when it is silent for so long; ScreenOS need not answer (screenos-facts.md, 1).
	dpd time.Duration
	// tunnelOnly: no transport mode for GRE (screenos-facts.md, 2).
	tunnelOnly bool
	noGCM      bool // its proposals know 3DES and AES-CBC only (screenos-facts.md, 5)
}

const (
	minLifetime = time.Minute // shorter ones cannot be renewed before they end (screenos-facts.md, 7.5)
	maxLifetime = 365 * 24 * time.Hour
)

func profileOf(s System) profile {
	switch s {
	case OpenBSD:
		return profile{
			hostAddresses: true, ddMTU: 1476, eager: 0, dpd: 30 * time.Second,
			ikeLifetime: time.Hour, espLifetime: 20 * time.Minute, shortest: time.Minute, longest: 24 * time.Hour,
		}
	case ScreenOS:
		return profile{
			subnet32: true, ddMTU: 1500, helloBits: 30, eager: 3, tunnelOnly: true, noGCM: true,
			ikeLifetime: 8 * time.Hour, espLifetime: time.Hour, shortest: 3 * time.Minute, longest: 24 * time.Hour,
		}
	case StrongSwan:
		return profile{eager: 2, dpd: 30 * time.Second, shortest: minLifetime, longest: maxLifetime}
	case Meshrouter:
	}
	return profile{eager: 1, dpd: 30 * time.Second, shortest: minLifetime, longest: maxLifetime}
}

// agreement is what both ends of a link have in common.
type agreement struct {
	hostAddresses, subnet32  bool
	ikeLifetime, espLifetime time.Duration
	shortest, longest        time.Duration
	tunnelOnly, noGCM        System // the end that says so, or ""
}

// merge gives each end's demand its due: a demand of one is the law for both. ScreenOS's lifetimes
// win over isakmpd's, for isakmpd takes what it is offered.
func merge(a, b System) agreement {
	pa, pb := profileOf(a), profileOf(b)
	g := agreement{
		hostAddresses: pa.hostAddresses || pb.hostAddresses,
		subnet32:      pa.subnet32 || pb.subnet32,
		ikeLifetime:   max(pa.ikeLifetime, pb.ikeLifetime),
		espLifetime:   max(pa.espLifetime, pb.espLifetime),
		shortest:      max(pa.shortest, pb.shortest),
		longest:       min(pa.longest, pb.longest),
	}
	if g.ikeLifetime == 0 {
		g.ikeLifetime, g.espLifetime = 8*time.Hour, time.Hour
	}
	for _, s := range []System{a, b} {
		if profileOf(s).tunnelOnly {
			g.tunnelOnly = s
		}
		if profileOf(s).noGCM {
			g.noGCM = s
		}
	}
	return g
}

// starts says whether site s, not its peer p, starts negotiations by default.
func starts(s, p *Site) bool {
	es, ep := profileOf(s.System).eager, profileOf(p.System).eager
	return es < ep || es == ep && s.Number < p.Number
}

// predefined are the suites that need not be defined. Their lifetimes come from the profile.
func predefined() []Suite {
	return []Suite{
		{Name: "aes", IKE: IKETransform{7, 128, 2, 5}, ESP: ESPTransform{12, 128, 2}},
		{Name: "legacy", IKE: IKETransform{5, 0, 2, 2}, ESP: ESPTransform{3, 0, 2}},
		{Name: "modern", IKE: IKETransform{7, 256, 4, 14}, ESP: ESPTransform{20, 256, 0}, PFS: 14},
	}
}

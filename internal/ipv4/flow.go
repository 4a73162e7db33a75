package ipv4

import "encoding/binary"

// FlowHash is a number that is equal for the packets of one flow and spreads different flows: of
// addresses, protocol and, for TCP and UDP, ports. Fragments have no ports everywhere, so all
// fragments hash without them. The hash is not for hostile input: whoever can choose ports can choose
// the path among equals. It is 0 for what is not IPv4.
func FlowHash(pkt []byte) uint32 {
	h, payload, err := Parse(pkt)
	if err != nil {
		return 0
	}
	x := uint64(h.Protocol())
	if p := h.Protocol(); (p == ProtocolTCP || p == ProtocolUDP) && !h.IsFragment() && len(payload) >= 4 {
		x |= uint64(binary.BigEndian.Uint32(payload)) << 8
	}
	x = mix(x ^ 0x9e3779b97f4a7c15)
	x = mix(x ^ binary.BigEndian.Uint64(h[12:20]))
	return uint32(x >> 32)
}

// mix is the finalizer of MurmurHash3: every input bit reaches every output bit.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

package bench

import "strings"

// suspectWin is the ratio above which a win is not believed before it is explained.
const suspectWin = 5

// explanationTable says where wins above suspectWin come from, by the beginning of the comparison's name. Each
// was looked into: which plugin the peer chose, where its time goes, and what becomes of the win
// without the reason.
var explanationTable = []struct{ prefix, text string }{
	{"tcp_gcm_vs_strongswan", "libipsec reads, seals and sends one packet at a time, ours up to 64 KB of them: without offloads on our side little of it is left (tcp_no_offloads_vs_strongswan)"},
	{"tcp_cbc_vs_strongswan", "as with AES-GCM: one packet at a time; besides, ours interleaves HMACs and CBC over packets (see the ciphers)"},
	{"tcp_3des_vs_strongswan", "3DES of its plugin openssl does some 30 MB/s a core, once at each end, and is all that counts there; ours does many packets side by side (see the ciphers)"},
	{"latency", "wireguard-go hands each packet from reader to cipher to sender, three threads at each end that wait for two busy cores; ours goes all the way in one (see switches/packet)"},
}

// explain finds the explanation of a comparison; empty: there is none.
func explain(name string) string {
	for _, e := range explanationTable {
		if strings.HasPrefix(name, e.prefix) {
			return e.text
		}
	}
	return ""
}

package mesh

import (
	"strings"
	"testing"
)

type problemCase struct {
	name    string
	changes []string // pairs of old and new text in base
	want    string   // all problems, one a line, without "mesh.yaml:"
}

// problemCases break base in one way each.
func problemCases() []problemCase {
	const list = "links:\n  - {between: [london, tokyo]}\n  - "
	return []problemCase{
		{"no number", []string{"number: 2, ", ""}, "8:3: site tokyo has no number: write number: 2, which is free, and never change it"},
		{"number twice", []string{"number: 3", "number: 1"}, "9:20: site osaka has the number 1 of site london: write number: 3, which is free"},
		{"number 0", []string{"number: 1", "number: 0"}, `7:20: "0" is out of range: write a number from 1 to 65535`},
		{"no address", []string{"address: 192.0.2.1, ", ""}, "7:3: site london has no address: write address: and the IPv4 address that the peers reach it at"},
		{"bad address", []string{"192.0.2.1", "192.0.2.256"}, `7:32: "192.0.2.256" is not an IPv4 address: write four numbers of 0 to 255, as in 192.0.2.1`},
		{"address with length", []string{"192.0.2.1", "192.0.2.1/24"}, `7:32: "192.0.2.1/24" is not an address: write it without the length, as in 192.0.2.1`},
		{"IPv6", []string{"192.0.2.1", "'2001:db8::1'"}, "7:32: 2001:db8::1 is IPv6, which is not supported: write an IPv4 address"},
		{"multicast", []string{"192.0.2.1", "224.0.0.5"}, "7:32: 224.0.0.5 is not the address of one host: write the address of an interface, as in 192.0.2.1"},
		{"address twice", []string{"192.0.2.3", "192.0.2.1"}, "9:32: site osaka has the address 192.0.2.1 of site london: give each site its own"},
		{"router id twice", []string{"number: 3", "router-id: 0.0.0.1, number: 3"}, "9:23: site osaka has the router id 0.0.0.1 of site london: give each site its own"},
		{"router id 0", []string{"number: 3", "router-id: 0.0.0.0, number: 3"}, "9:23: 0.0.0.0 cannot be a router id: write another one, as in 10.255.0.1"},
		{"LAN twice", []string{"10.2.0.0/24", "10.1.0.0/24"}, "8:49: the LAN 10.1.0.0/24 of site tokyo is also the LAN 10.1.0.0/24 of site london: use address space that nothing else has"},
		{"LAN inside", []string{"10.1.0.0/24", "10.0.0.0/14"}, "8:49: the LAN 10.2.0.0/24 of site tokyo overlaps the LAN 10.0.0.0/14 of site london: use address space that nothing else has\n" +
			"9:49: the LAN 10.3.0.0/24 of site osaka overlaps the LAN 10.0.0.0/14 of site london: use address space that nothing else has"},
		{"LAN over the pool", []string{"10.1.0.0/24", "10.255.7.0/24"}, "7:49: the LAN 10.255.7.0/24 of site london overlaps the pool of tunnels 10.255.0.0/16: use address space that nothing else has"},
		{"LAN over an address", []string{"10.1.0.0/24", "192.0.2.0/24"}, "7:49: the LAN 192.0.2.0/24 of site london overlaps the address 192.0.2.3 of site osaka: use address space that nothing else has\n" +
			"7:49: the LAN 192.0.2.0/24 of site london overlaps the address 192.0.2.2 of site tokyo: use address space that nothing else has\n" +
			"7:49: the LAN 192.0.2.0/24 of site london overlaps the address 192.0.2.1 of site london: use address space that nothing else has"},
		{"LAN bits", []string{"10.1.0.0/24", "10.1.0.1/24"}, "7:49: 10.1.0.1/24 has bits behind the mask: write 10.1.0.0/24"},
		{"LAN without length", []string{"10.1.0.0/24", "10.1.0.0"}, `7:49: "10.1.0.0" is not an IPv4 network: write its length too, as in 10.1.0.0/24`},
		{"default route", []string{"10.1.0.0/24", "0.0.0.0/0"}, "7:49: a default route through the mesh would swallow the tunnels themselves: list the networks instead"},
		{"pool too small", []string{"10.255.0.0/16", "10.255.0.0/29"}, "2:10: the pool 10.255.0.0/29 holds 2 networks, but tokyo-osaka (sites 2 and 3) needs the one with index 2: write a /28 or larger (networks are a function of the two site numbers; smaller numbers need less)"},
		{"number too large for the pool", []string{"number: 3", "number: 400"}, "2:10: the pool 10.255.0.0/16 holds 16384 networks, but tokyo-osaka (sites 2 and 400) needs the one with index 79402: write a /13 or larger (networks are a function of the two site numbers; smaller numbers need less)"},
		{"number too large for any pool", []string{"number: 3", "number: 65535"}, "2:10: the pool 10.255.0.0/16 holds 16384 networks, but tokyo-osaka (sites 2 and 65535) needs the one with index 2147319812: give the sites smaller numbers"},
		{"pool overlaps an address", []string{"10.255.0.0/16", "192.0.0.0/16"}, "7:32: the address 192.0.2.1 of site london overlaps the pool of tunnels 192.0.0.0/16: use address space that nothing else has\n" +
			"8:32: the address 192.0.2.2 of site tokyo overlaps the pool of tunnels 192.0.0.0/16: use address space that nothing else has\n" +
			"9:32: the address 192.0.2.3 of site osaka overlaps the pool of tunnels 192.0.0.0/16: use address space that nothing else has"},
		{"no pool", []string{"tunnels: 10.255.0.0/16\n", ""}, "9:8: the links need a pool for their addresses: write tunnels: 10.255.0.0/16, or addresses: in each link"},
		{"unknown key", []string{"tunnels:", "tunnel:"}, `2:1: the mesh file has no setting "tunnel": did you mean tunnels?` + "\n" +
			"10:8: the links need a pool for their addresses: write tunnels: 10.255.0.0/16, or addresses: in each link"},
		{"unknown key of a site", []string{"system: openbsd", "systm: openbsd"}, `9:63: site osaka has no setting "systm": did you mean system?`},
		{"far key of a site", []string{"system: openbsd", "colour: red"}, `9:63: site osaka has no setting "colour": write number, address, bind, system, router-id, tun, mtu, lan or offload`},
		{"unknown system", []string{"system: openbsd", "system: opensbd"}, `9:71: "opensbd" is none of the possible values: did you mean openbsd?`},
		{"key twice", []string{"number: 1,", "number: 1, number: 1,"}, "7:23: site london has number twice, first in line 7: remove one of them"},
		{"site twice", []string{"  osaka:", "  london:"}, "9:3: sites has london twice, first in line 7: remove one of them"},
		{"bad name", []string{"  osaka:", "  '../osaka':"}, `9:3: "../osaka" cannot be a name: write a letter and up to 31 letters, digits, dots, dashes or underscores`},
		{"no value", []string{"links: full", "links:"}, "10:1: links has no value: write a value behind it, or remove it\n1:1: the mesh has no links: write links: full, links: {hub: [SITE]} or a list of - {between: [SITE, SITE]}"},
		{"no name", []string{"mesh: example\n", ""}, "1:1: the mesh has no name: write mesh: and a name at the top"},
		{"links misspelt", []string{"full", "ful"}, `10:8: links cannot be "ful": write full, {hub: [SITE]} or a list of - {between: [SITE, SITE]}`},
		{"unknown hub", []string{"full", "{hub: [lodnon]}"}, `10:15: there is no site "lodnon": did you mean london?`},
		{"unknown site", []string{"links: full", list + "{between: [london, oska]}"}, `12:24: there is no site "oska": did you mean osaka?`},
		{"link twice", []string{"links: full", list + "{between: [tokyo, london]}"}, "12:15: the link london-tokyo is there twice, first in line 11: keep one of them"},
		{"link to itself", []string{"links: full", list + "{between: [osaka, osaka]}"}, "12:23: a link joins osaka with itself: name the other site"},
		{"link of three", []string{"links: full", list + "{between: [london, tokyo, osaka]}"}, "12:15: a link joins two sites: write between: [london, tokyo]"},
		{"link of none", []string{"links: full", list + "{cost: 1}"}, "12:5: a link joins two sites: write between: [london, tokyo]"},
		{"unknown suite", []string{"links: full", list + "{between: [london, osaka], suite: legcy}"}, `12:39: there is no suite "legcy": did you mean legacy?`},
		{"not an end", []string{"links: full", list + "{between: [london, osaka], cost: {tokyo: 3}}"}, "12:39: tokyo is not an end of london-osaka: write london or osaka"},
		{"cost", []string{"links: full", list + "{between: [london, osaka], cost: 70000}"}, `12:38: "70000" is out of range: write a number from 1 to 65535`},
		{"unknown setting of a link", []string{"links: full", list + "{between: [london, osaka], hello-msk: /30}"}, `12:32: the link london-osaka has no setting "hello-msk": did you mean hello-mask?`},
		{"transport to ScreenOS", []string{"links: full", "links:\n  - {between: [london, tokyo], mode: transport}"}, "11:38: screenos carries GRE in tunnel mode only: write mode: tunnel"},
		{"GCM to ScreenOS", []string{"links: full", "links:\n  - {between: [london, tokyo], suite: modern}"}, "11:39: screenos does not know AES-GCM, which suite modern uses: choose a suite with 3des-sha1, aes128-sha1 or aes256-sha256, as suite: legacy"},
		{"lifetime of ScreenOS", []string{"esp: 1h", "esp: 1m"}, "10:8: the lifetime 1m of suite legacy is out of the range that meshrouter and screenos accept: choose a suite with a lifetime of 3m to 24h\n10:8: the lifetime 1m of suite legacy is out of the range that screenos and openbsd accept: choose a suite with a lifetime of 3m to 24h"},
		{"GRE endpoint in transport mode", []string{"links: full", list + "{between: [london, osaka], mode: transport, gre: {endpoints: {osaka: 10.9.9.9}}}"}, "12:66: in transport mode GRE ends at the outer address 192.0.2.3, not at 10.9.9.9: leave the endpoints out, or write mode: tunnel"},
		{"GRE endpoint of another", []string{"links: full", list + "{between: [london, osaka], gre: {endpoints: {osaka: 192.0.2.2}}}"}, "12:49: site london cannot tell london-osaka from london-tokyo: the same GRE endpoints and key: give one of them another endpoint or key\n" +
			"12:49: the GRE endpoint 192.0.2.2 of osaka belongs to site tokyo: write an address of its own"},
		{"GRE endpoint twice", []string{"links: full", "links:\n  - {between: [london, tokyo], gre: {endpoints: {tokyo: 10.9.9.9}}}\n  - {between: [london, osaka], gre: {endpoints: {osaka: 10.9.9.9}}}"}, "12:49: site london cannot tell london-osaka from london-tokyo: the same GRE endpoints and key: give one of them another endpoint or key"},
		{"proxy id", []string{"links: full", list + "{between: [london, osaka], proxy-ids: {osaka: 10.0.0.0/8}}"}, "12:43: the proxy id 10.0.0.0/8 of osaka does not hold its GRE endpoint 192.0.2.3: write 192.0.2.3/32 or a network around it"},
		{"explicit address in a derived network", []string{"links: full", list + "{between: [london, osaka], addresses: {london: 10.255.0.1/30, osaka: 10.255.0.2/30}}"}, "12:43: the network 10.255.0.0/30 of link london-osaka is also the network 10.255.0.0/30 of link london-tokyo: use address space that nothing else has"},
		{"explicit address in a LAN", []string{"links: full", list + "{between: [london, osaka], addresses: {london: 10.3.0.1/32, osaka: 10.9.0.2/32}}"}, "12:43: the tunnel address 10.3.0.1 of london overlaps the LAN 10.3.0.0/24 of site osaka: use address space that nothing else has"},
		{"one explicit address", []string{"links: full", list + "{between: [london, osaka], addresses: {london: 10.9.0.1/30}}"}, "12:43: both ends of london-osaka need an address: write {london: 10.254.0.1/30, osaka: 10.254.0.2/30}"},
		{"two networks", []string{"links: full", list + "{between: [london, osaka], addresses: {london: 10.9.0.1/30, osaka: 10.9.0.6/30}}"}, "12:43: 10.9.0.1/30 and 10.9.0.6/30 are not in one network: write an address of 10.9.0.0/30, or /32 for both"},
		{"network address", []string{"links: full", list + "{between: [london, osaka], addresses: {london: 10.9.0.0/30, osaka: 10.9.0.1/30}}"}, "12:43: the first and last address of 10.9.0.0/30 are not for hosts: write 10.9.0.1 and 10.9.0.2"},
		{"explicit address too large", []string{"links: full", list + "{between: [london, osaka], addresses: {london: 10.9.0.1/24, osaka: 10.9.0.2/24}}"}, "12:52: a tunnel has two ends, 10.9.0.1/24 is larger: write /30, or /32 for point-to-point addressing\n" +
			"12:72: a tunnel has two ends, 10.9.0.2/24 is larger: write /30, or /32 for point-to-point addressing\n12:43: both ends of london-osaka need an address: write {london: 10.254.0.1/30, osaka: 10.254.0.2/30}"},
		{"dead below two hellos", []string{"area:", "hello: 10s, dead: 15s, area:"}, "3:26: the dead interval 15s is less than two hellos of 10s: one lost hello would end the adjacency: write dead: 40s"},
		{"dead of a link", []string{"links: full", list + "{between: [london, osaka], hello: 60s, dead: 60s}"}, "12:50: the dead interval 1m is less than two hellos of 1m: one lost hello would end the adjacency: write dead: 4m"},
		{"hello without unit", []string{"area:", "hello: 10, area:"}, `3:15: "10" has no unit: write 10s if it is seconds`},
		{"half a second", []string{"area:", "hello: 500ms, area:"}, "3:15: 500ms is not a whole number of seconds: write whole seconds"},
		{"area", []string{"area: 0.0.0.0", "area: backbone"}, `3:14: "backbone" is not an area: write it as 0.0.0.0 or 0`},
		{"clear secret", []string{"$ospf", "ospf"}, "3:48: the md5 key does not belong into this file: write $NAME, and NAME with the key into secrets.yaml\nsecrets.yaml:1:7: nothing uses the secret \"ospf\": remove it, or use it as $ospf"},
		{"unknown secret", []string{"$ospf", "$opsf"}, "3:48: there is no secret \"opsf\": did you mean $ospf?\nsecrets.yaml:1:7: nothing uses the secret \"ospf\": remove it, or use it as $ospf"},
		{"md5 id twice", []string{"{id: 1, key: $ospf}", "[{id: 1, key: $ospf}, {key: $ospf}]"}, "3:57: two md5 keys have the id 1: give each key its own id"},
		{"md5 without key", []string{", key: $ospf", ""}, "3:35: an md5 key has no key: write key: $ospf behind the id\nsecrets.yaml:1:7: nothing uses the secret \"ospf\": remove it, or use it as $ospf"},
		{"des", []string{"ike: 3des", "ike: des"}, "5:17: des does not protect anything: write 3des or aes128"},
		{"null", []string{"esp: 3des-sha1", "esp: null-sha1"}, "5:42: null does not protect anything: write 3des or aes128"},
		{"md5 hash", []string{"esp: 3des-sha1", "esp: 3des-md5"}, "5:42: md5 is not offered: write sha1 or sha256"},
		{"no authentication", []string{"esp: 3des-sha1", "esp: 3des"}, "5:42: 3des alone does not authenticate: write 3des-sha1 or 3des-sha256"},
		{"GCM with hash", []string{"esp: 3des-sha1", "esp: aes128gcm16-sha1"}, "5:42: aes128gcm16 authenticates by itself: write aes128gcm16"},
		{"GCM in phase 1", []string{"ike: 3des", "ike: aes128gcm16"}, `5:17: "aes128gcm16" is not a cipher of this phase: write 3des, aes128, aes192 or aes256`},
		{"group", []string{"modp1024", "modp1204"}, `5:17: "modp1204" is none of the possible values: did you mean modp1024?`},
		{"phase 1 form", []string{"3des-sha1-modp1024", "3des-sha1"}, `5:17: "3des-sha1" is not a phase 1 transform: write cipher-hash-group, as in 3des-sha1-modp1024 or aes256-sha256-modp2048`},
		{"suite without phase 2", []string{"suites:", "suites:\n  new: {ike: aes256-sha256-modp2048}", "links:", "suite: legacy\nlinks:"}, "5:3: suite new has no phase 2: write esp: 3des-sha1, esp: aes256-sha256 or esp: aes128gcm16"},
		{"no suite chosen", []string{"suites:", "suites:\n  new: {ike: aes256-sha256-modp2048, esp: aes256-sha256}"}, "11:8: there are several suites and none is chosen: write suite: and its name at the top of the file or in the link"},
		{"lifetime", []string{"ike: 8h", "ike: 8 hours"}, `5:80: "8 hours" is not a duration: write 90s, 10m or 8h`},
		{"list where one value belongs", []string{"number: 1", "number: [1]"}, "7:20: number has to be one value, this is a list: write a single value"},
		{"value where a mapping belongs", []string{"{number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}", "192.0.2.1"}, "7:11: site london has to be a mapping, this is a single value: write `key: value` pairs\n7:3: site london has no address: write address: and the IPv4 address that the peers reach it at\n7:3: site london has no number: write number: 1, which is free, and never change it"},
		{"anchor", []string{"number: 1", "number: &n 1"}, "7:20: number has to be one value, this is an anchor or alias (write the values out): write a single value"},
		{"merge key", []string{"number: 1", "<<: {number: 1}"}, "7:12: merge keys are not supported: write the values out\n7:3: site london has no number: write number: 1, which is free, and never change it"},
		{"second document", []string{"links:", "---\nlinks:"}, "11:1: a second YAML document begins here: put it into a file of its own"},
		{"not YAML", []string{"{area: 0.0.0.0,", "{area: [0.0.0.0,"}, ""},
		{"zero byte", []string{"example", "exa\x00mple"}, "line 1 holds a zero byte: write plain text in UTF-8"},
		{"too large", []string{"links: full", strings.Repeat("#", 1<<20)}, "the file has more than 1 MiB: split the mesh"},
		{"too many lines", []string{"links: full", strings.Repeat("\n", 60_000)}, "the file has more than 50000 lines: split the mesh"},
		{"not a mapping", []string{base, "- a\n- b\n"}, "1:1: the mesh file has to be a mapping, this is a list: write `key: value` pairs\n1:1: the mesh has no links: write links: full, links: {hub: [SITE]} or a list of - {between: [SITE, SITE]}\n" +
			"1:1: the mesh has no name: write mesh: and a name at the top\n1:1: the mesh has no sites: write sites: and below it name: {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}"},
		{"empty", []string{base, "# nothing\n"}, "the mesh file is empty: write mesh:, sites: and links: (examples/triangle.yaml is one)"},
		{"nested too deep", []string{"links: full", "links: " + strings.Repeat("[", 100000)}, "line 10 is too long or nests too deep: write it flatter"},
		{"nested too deep in blocks", []string{"links: full", "links:\n" + strings.Repeat("- ", 100000)}, "line 11 is too long or nests too deep: write it flatter"},
		{"LAN cost without interface", []string{"[10.1.0.0/24]", "[{prefix: 10.1.0.0/24, cost: 3}]"}, "7:77: the cost of a lan needs its interface: write interface: and the device's name"},
		{"device name", []string{"number: 1", "number: 1, tun: averyverylongname"}, `7:28: "averyverylongname" cannot be the name of an interface: write at most 15 letters and digits, as in mr0`},
		{"count without keepalive", []string{"links: full", list + "{between: [london, osaka], gre: {count: 3}}"}, "12:45: count without keepalive does nothing: write keepalive: 10s too"},
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, tc := range problemCases() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load("mesh.yaml", []byte(changed(t, tc.changes...)), secretsOf(t, baseSecrets))
			if err == nil {
				t.Fatal("accepted")
			}
			if tc.want == "" { // the words are the YAML parser's; the place is ours
				if !strings.HasPrefix(err.Error(), "mesh.yaml:") || !strings.Contains(err.Error(), "this is not YAML: ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v", err)
				}
				return
			}
			lines := make(map[string]int)
			for line := range strings.SplitSeq(tc.want, "\n") {
				switch {
				case strings.HasPrefix(line, "secrets.yaml:"):
				case line[0] >= '0' && line[0] <= '9':
					line = "mesh.yaml:" + line
				default:
					line = "mesh.yaml: " + line
				}
				lines[line]++
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				lines[line]--
			}
			for line, n := range lines {
				if n != 0 {
					t.Errorf("want %s %+d", line, n)
				}
			}
		})
	}
}

// TestAllProblemsTogether holds that one run finds everything, in the order of the file.
func TestAllProblemsTogether(t *testing.T) {
	t.Parallel()
	_, err := Load("mesh.yaml", []byte(changed(t,
		"10.255.0.0/16", "10.255.0.0", "area: 0.0.0.0", "area: x", "modp1024", "modp1", "number: 1,", "number: one,", "system: screenos", "system: netscreen", "links: full", "links: ful", "mesh:", "colour: red\nmesh:")),
		secretsOf(t, "ospf: this key is far too long for MD5\npsk: x\nlondon-tokio: y\n"))
	want := `mesh.yaml:1:1: the mesh file has no setting "colour": write mesh, secrets, tunnels, ospf, suites, suite, sites, defaults or links
mesh.yaml:3:10: "10.255.0.0" is not an IPv4 network: write its length too, as in 10.255.0.0/24
mesh.yaml:4:14: "x" is not an area: write it as 0.0.0.0 or 0
mesh.yaml:6:17: "modp1" is none of the possible values: write modp1024, modp1536, modp2048, modp3072 or modp4096
mesh.yaml:8:20: "one" is out of range: write a number from 1 to 65535
mesh.yaml:9:71: "netscreen" is none of the possible values: write meshrouter, openbsd, screenos or strongswan
mesh.yaml:11:8: links cannot be "ful": write full, {hub: [SITE]} or a list of - {between: [SITE, SITE]}
secrets.yaml:1:7: ospf has 32 bytes, as an OSPF md5 key it may have 16: shorten it: openssl rand -base64 12 makes one of the full length`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestMissingPSK(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ changes, want string }{
		"full": {"full", "mesh.yaml:10:8: there is no pre-shared key for london-tokyo and 2 more: write london-tokyo: and a key (openssl rand -base64 24), or psk: for all links, into secrets.yaml"},
		"list": {"\n  - {between: [london, tokyo]}\n  - {between: [tokyo, osaka], psk: $to}",
			"mesh.yaml:11:5: there is no pre-shared key for london-tokyo: write london-tokyo: and a key (openssl rand -base64 24), or psk: for all links, into secrets.yaml\n" +
				`mesh.yaml:12:36: there is no secret "to": write to: and the key into secrets.yaml`},
	} {
		_, err := Load("mesh.yaml", []byte(changed(t, "full", tc.changes)), secretsOf(t, "ospf: k\n"))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: got\n%v\nwant\n%s", name, err, tc.want)
		}
	}
	_, err := Load("mesh.yaml", []byte(base), nil)
	if err == nil || !strings.Contains(err.Error(), "into a secrets file (secrets: mesh.secrets.yaml)") {
		t.Errorf("no secrets at all: %v", err)
	}
	// The misspelt name of a link is found although psk stands in for it.
	_, err = Load("mesh.yaml", []byte(base), secretsOf(t, "ospf: k\npsk: x\nlondon-toky: y\n"))
	if err == nil || err.Error() != `secrets.yaml:3:14: nothing uses the secret "london-toky": did you mean london-tokyo?` {
		t.Errorf("misspelt link: %v", err)
	}
}

func TestSecretsFile(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"":                            "s: the secrets file is empty: write psk: and a key into it, or name: and a key",
		"psk: ''\n":                   "s:1:6: the key is empty: write one: openssl rand -base64 24 makes one",
		"psk:\n":                      "s:1:1: psk is empty: write a key behind it",
		"psk: 0x\n":                   "s:1:6: the key is empty: write hexadecimal digits behind 0x",
		"psk: 0xabc\n":                "s:1:6: the key behind 0x is not hexadecimal: write an even number of hexadecimal digits, or leave 0x out if it is text",
		"psk: [x]\n":                  "s:1:6: a secret has to be one value, this is a list: write a single value",
		"a: x\nb: ''\nc: 0xz\na: y\n": "s:2:4: the key is empty: write one: openssl rand -base64 24 makes one\ns:3:4: the key behind 0x is not hexadecimal: write an even number of hexadecimal digits, or leave 0x out if it is text\ns:4:1: the secrets file has a twice, first in line 1: remove one of them",
	} {
		if _, err := ParseSecrets("s", []byte(src)); err == nil || err.Error() != want {
			t.Errorf("%q: got\n%v\nwant\n%s", src, err, want)
		}
	}
	s := secretsOf(t, "text: correct horse\nquoted: \"#1: x \"\nhex: 0x00FF\nlonghex: 0x000102030405060708090a0b0c0d0e0f1011121314151617\nnumber: 007\nfloat: 1e5\ntruth: yes\nblock: |\n  two words\n")
	for name, want := range map[string]string{
		"text": "correct horse", "quoted": "#1: x ", "hex": "\x00\xff", "longhex": "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17",
		"number": "007", "float": "1e5", "truth": "yes", "block": "two words",
	} {
		if e, ok := s.lookup(name); !ok || string(e.key) != want {
			t.Errorf("%s: %q, want %q", name, string(e.key), want)
		}
	}
}

package docscheck

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/internal/testvectors"
	"meshrouter/mesh"
)

const meshfile = "docs/meshfile.md"

// load loads a mesh file with a made-up key for each secret that it names.
func load(t *testing.T, src string) (*mesh.Inventory, error) {
	t.Helper()
	text := "psk: made up\n"
	for _, ref := range regexp.MustCompile(`\$([A-Za-z][A-Za-z0-9_.-]*)`).FindAllStringSubmatch(src, -1) {
		if line := ref[1] + ": made up\n"; !strings.Contains(text, line) {
			text += line
		}
	}
	secrets, err := mesh.ParseSecrets("secrets", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return mesh.Load("mesh.yaml", []byte(src), secrets)
}

// isMesh says whether a block of YAML is a whole mesh file.
func isMesh(f fence) bool { return f.language == "yaml" && strings.Contains("\n"+f.text, "\nmesh: ") }

// broken marks the file that shows what errors look like.
const broken = "\nmesh: broken\n"

// TestYAML: each block of YAML is a whole mesh file or a whole secrets file, and is good.
func TestYAML(t *testing.T) {
	t.Parallel()
	files := 0
	for _, d := range documents(t) {
		for _, f := range d.fences {
			if f.language != "yaml" || strings.Contains("\n"+f.text, broken) {
				continue
			}
			var err error
			if isMesh(f) {
				_, err = load(t, f.text)
				files++
			} else {
				_, err = mesh.ParseSecrets("secrets.yaml", []byte(f.text))
			}
			if err != nil {
				t.Errorf("%s:%d: %v", d.path, f.line, err)
			}
		}
	}
	if files < 3 {
		t.Errorf("%d mesh files in all documents: are they still found?", files)
	}
}

// TestErrorsAsPrinted: the broken file gives the lines that stand below it.
func TestErrorsAsPrinted(t *testing.T) {
	t.Parallel()
	fences := read(t, meshfile).fences
	i := slices.IndexFunc(fences, func(f fence) bool { return strings.Contains(f.text, broken) })
	if i < 0 || i+1 == len(fences) || fences[i+1].language != "text" {
		t.Fatal("there is no broken file with its errors below it")
	}
	_, err := load(t, fences[i].text)
	if err == nil || err.Error()+"\n" != fences[i+1].text {
		t.Errorf("%s:%d: the file gives\n%v", meshfile, fences[i].line, err)
	}
}

// probe is a key that nothing is near to.
const probe = "zzzzzzzzzzzzzzzz"

// mappingTable says where in a mesh file the mapping is that a table of keys is about: %s is where a
// further key goes.
var mappingTable = map[string]string{
	"Top level: key":                         "%s: 1\n",
	"Sites: key":                             "sites: {a: {%s: 1}}",
	"Sites: key of a LAN":                    "sites: {a: {lan: [{%s: 1}]}}",
	"Sites: key of `offload`":                "sites: {a: {offload: {%s: 1}}}",
	"Links: key":                             "sites: {a: {number: 1, address: 192.0.2.1}, b: {number: 2, address: 192.0.2.2}}\nlinks: [{between: [a, b], %s: 1}]",
	"Links: key of `gre`":                    "sites: {a: {number: 1, address: 192.0.2.1}, b: {number: 2, address: 192.0.2.2}}\nlinks: [{between: [a, b], gre: {%s: 1}}]",
	"Suites: key of a suite":                 "suites: {a: {%s: 1}}",
	"Suites: key of `lifetime`":              "suites: {a: {lifetime: {%s: 1}}}",
	"OSPF: key of `ospf`":                    "ospf: {%s: 1}",
	"OSPF: key of `auth`":                    "ospf: {auth: {%s: 1}}",
	"OSPF: key of an `md5` key":              "ospf: {auth: {md5: {%s: 1}}}",
	"`links` as a mapping, told in the text": "sites: {a: {number: 1, address: 192.0.2.1}}\nlinks: {hub: [a], %s: 1}",
	"`defaults`, as a link's":                "sites: {a: {number: 1, address: 192.0.2.1}, b: {number: 2, address: 192.0.2.2}}\ndefaults: {%s: 1}\nlinks: full",
}

// accepted asks the loader which keys a mapping may have.
func accepted(t *testing.T, src string) []string {
	t.Helper()
	_, err := mesh.Load("mesh.yaml", fmt.Appendf(nil, src, probe), nil)
	problems, _ := errors.AsType[mesh.Problems](err)
	for _, p := range problems {
		if !strings.Contains(p.What, probe) {
			continue
		}
		list, ok := strings.CutPrefix(p.Fix, "write ")
		if !ok {
			continue
		}
		keys := strings.Split(strings.ReplaceAll(list, " or ", ", "), ", ")
		slices.Sort(keys)
		return keys
	}
	t.Fatalf("%q is not refused as a key: %v", probe, err)
	return nil
}

// TestKeys: each table of keys has the keys of the loader, no more and no less.
func TestKeys(t *testing.T) {
	t.Parallel()
	all := make(map[string]bool)
	var wanted []string // tables
	for name, src := range mappingTable {
		for _, key := range accepted(t, src) {
			all[key] = true
		}
		if !strings.HasPrefix(name, "`") {
			wanted = append(wanted, name)
		}
	}
	documented := make(map[string]bool)
	for _, tab := range read(t, meshfile).tables {
		if !strings.HasPrefix(tab.header[0], "key") {
			continue
		}
		name := tab.section + ": " + tab.header[0]
		src, ok := mappingTable[name]
		if !ok {
			t.Errorf("%s:%d: a table of keys %q that this test does not know", meshfile, tab.line, name)
			continue
		}
		documented[name] = true
		var keys []string
		for _, row := range tab.rows {
			keys = append(keys, quoted(row[0])...)
		}
		slices.Sort(keys)
		if want := accepted(t, src); !slices.Equal(keys, want) {
			t.Errorf("%s:%d: the keys of %q are\n%v, the loader has\n%v", meshfile, tab.line, name, keys, want)
		}
	}
	slices.Sort(wanted)
	if got := slices.Sorted(maps.Keys(documented)); !slices.Equal(got, wanted) {
		t.Errorf("tables %v, want %v", got, wanted)
	}
	// The mappings above are all that there are: the loader's code asks for no other key.
	for _, key := range keysOfTheCode(t) {
		if !all[key] {
			t.Errorf("the loader reads %q in a mapping that this test does not ask for", key)
		}
	}
	// defaults takes what a link takes, but for three.
	defaults := accepted(t, mappingTable["`defaults`, as a link's"])
	link := accepted(t, mappingTable["Links: key"])
	link = slices.DeleteFunc(link, func(k string) bool { return k == "between" || k == "addresses" || k == "psk" })
	if !slices.Equal(defaults, link) {
		t.Errorf("defaults takes %v, want %v", defaults, link)
	}
}

// keysOfTheCode finds the literal keys that package mesh takes from mappings.
func keysOfTheCode(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testvectors.Root(t), "mesh", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			arg := -1
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "take" {
				arg = 0
			} else if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "read" {
				arg = 1
			}
			if arg < 0 || arg >= len(call.Args) {
				return true
			}
			if lit, ok := call.Args[arg].(*ast.BasicLit); ok {
				if key, err := strconv.Unquote(lit.Value); err == nil {
					found[key] = true
				}
			}
			return true
		})
	}
	if len(found) < 40 {
		t.Fatalf("only %d keys found in the code of package mesh", len(found))
	}
	return slices.Sorted(maps.Keys(found))
}

// tableWith finds the table that begins with a header.
func tableWith(t *testing.T, header string) table {
	t.Helper()
	for _, tab := range read(t, meshfile).tables {
		if tab.header[0] == header {
			return tab
		}
	}
	t.Fatalf("%s has no table that begins with %q", meshfile, header)
	return table{}
}

// pair loads a mesh of two sites, a with the number i and b with the number j. second are further settings
// of b, more further lines.
func pair(t *testing.T, pool string, i, j int, second, more string) (*mesh.Link, error) {
	t.Helper()
	inv, err := load(t, fmt.Sprintf("mesh: pair\ntunnels: %s\nsites:\n  a: {number: %d, address: 192.0.2.1}\n  b: {number: %d, address: 192.0.2.2%s}\nlinks: full\n%s",
		pool, i, j, second, more))
	if err != nil {
		return nil, err
	}
	return inv.Links[0], nil
}

// TestSystems: the table of systems is what a link between a meshrouter and each of them has.
func TestSystems(t *testing.T) {
	t.Parallel()
	tab := tableWith(t, "setting")
	for col, system := range tab.header[1:] {
		link, err := pair(t, "10.255.0.0/16", 1, 2, ", system: "+system, "suite: legacy")
		if err != nil {
			t.Fatal(err)
		}
		e := link.EndA
		for _, row := range tab.rows {
			var got string
			switch strings.Trim(row[0], "`") {
			case "addressing":
				got = fmt.Sprintf("/%d", e.TunnelLocal.Bits())
			case "id-type":
				got = map[bool]string{false: "host", true: "subnet32"}[e.LocalTS.Subnet]
			case "hello-mask":
				got = maskText(e.HelloMask)
			case "dd-mtu":
				got = map[bool]string{true: "tunnel", false: strconv.Itoa(e.DDMTU)}[e.DDMTU == 0]
			case "dpd":
				got = map[bool]string{true: "off", false: e.DPD.String()}[e.DPD == 0]
			case "who starts":
				got = starter(t, system)
			case "mode: transport":
				got = works(t, system, "defaults: {mode: transport}\nsuite: legacy")
			case "AES-GCM":
				got = works(t, system, "suite: modern")
			case "default lifetimes":
				got = hours(e.Suite.IKELifetime) + ", " + hours(e.Suite.ESPLifetime)
			case "accepted lifetimes":
				got = lifetimes(t, system, row[col+1])
			default:
				t.Errorf("%s:%d: nothing holds the row %s", meshfile, tab.line, row[0])
				continue
			}
			if got != row[col+1] {
				t.Errorf("%s:%d: %s with %s is %s, written %s", meshfile, tab.line, row[0], system, got, row[col+1])
			}
		}
	}
}

func maskText(m [4]byte) string {
	for bits := range 33 {
		if netip.PrefixFrom(netip.MustParseAddr("255.255.255.255"), bits).Masked().Addr() == netip.AddrFrom4(m) {
			return fmt.Sprintf("/%d", bits)
		}
	}
	return fmt.Sprint(m)
}

func hours(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// starter finds who starts with either end having the smaller number.
func starter(t *testing.T, system string) string {
	t.Helper()
	start := func(e mesh.End) bool { return e.Initiate == mesh.InitiateAlways }
	low, err := pair(t, "10.255.0.0/16", 1, 2, ", system: "+system, "suite: legacy")
	if err != nil {
		t.Fatal(err)
	}
	high, err := pair(t, "10.255.0.0/16", 2, 1, ", system: "+system, "suite: legacy")
	if err != nil {
		t.Fatal(err)
	}
	weLow, weHigh := start(low.EndA), start(high.EndB) // the end of the meshrouter
	switch {
	case weLow && weHigh:
		return "meshrouter"
	case !weLow && !weHigh:
		return "the peer"
	case weLow:
		return "the smaller number"
	}
	return "the larger number"
}

func works(t *testing.T, system, more string) string {
	t.Helper()
	if _, err := pair(t, "10.255.0.0/16", 1, 2, ", system: "+system, more); err != nil {
		return "no"
	}
	return "yes"
}

// lifetimes tries the ends of a range "1m to 24h" and what is a second outside.
func lifetimes(t *testing.T, system, text string) string {
	t.Helper()
	lowText, highText, _ := strings.Cut(text, " to ")
	low, err1 := time.ParseDuration(lowText)
	high, err2 := time.ParseDuration(highText)
	if err1 != nil || err2 != nil {
		return "no range"
	}
	for life, want := range map[time.Duration]string{low: "yes", high: "yes", low - time.Second: "no", high + time.Second: "no"} {
		if got := works(t, system, "suites: {one: {ike: 3des-sha1-modp1024, esp: 3des-sha1, lifetime: {ike: "+life.String()+"}}}"); got != want {
			return fmt.Sprintf("another range: %s: %s", life, got)
		}
	}
	return text
}

// TestDerivedAddresses: the worked examples of tunnel networks.
func TestDerivedAddresses(t *testing.T) {
	t.Parallel()
	tab := tableWith(t, "sites")
	for _, row := range tab.rows {
		var i, j int
		if _, err := fmt.Sscanf(row[0], "%d and %d", &i, &j); err != nil {
			t.Fatalf("%s:%d: %q: %v", meshfile, tab.line, row[0], err)
		}
		link, err := pair(t, "10.255.0.0/16", i, j, "", "")
		if err != nil {
			t.Fatal(err)
		}
		e := link.EndA
		got := []string{row[0], strconv.Itoa(link.ID), e.TunnelLocal.Masked().String(), e.TunnelLocal.Addr().String(), e.TunnelRemote.Addr().String()}
		if !slices.Equal(got, row) {
			t.Errorf("%s:%d: %v, written %v", meshfile, tab.line, got, row)
		}
	}
}

// TestPools: the largest site numbers of each pool.
func TestPools(t *testing.T) {
	t.Parallel()
	tab := tableWith(t, "pool")
	for _, row := range tab.rows {
		most, err := strconv.Atoi(row[2])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair(t, "10.0.0.0"+row[0], most-1, most, "", ""); err != nil {
			t.Errorf("%s:%d: sites up to %d do not fit into a %s: %v", meshfile, tab.line, most, row[0], err)
		}
		_, err = pair(t, "10.0.0.0"+row[0], most, most+1, "", "")
		if err == nil || !strings.Contains(err.Error(), "holds "+row[1]+" networks") {
			t.Errorf("%s:%d: site number %d in a %s: %v", meshfile, tab.line, most+1, row[0], err)
		}
	}
}

// TestMTUs: the table of MTUs is what package esp computes.
func TestMTUs(t *testing.T) {
	t.Parallel()
	tab := tableWith(t, "esp")
	for _, row := range tab.rows {
		more := "suites: {one: {ike: 3des-sha1-modp1024, esp: " + row[0] + "}}\ndefaults: {mode: " + row[1] + "}"
		link, err := pair(t, "10.255.0.0/16", 1, 2, "", more)
		if err != nil {
			t.Fatal(err)
		}
		e := link.EndA
		for i, udp := range []bool{false, true} {
			mtu, sum := esp.MTU(1500, esp.Mode(e.Mode), udp, esp.Cipher(e.Suite.ESP.ID), esp.Auth(e.Suite.ESP.Auth), row[2] == "yes")
			if row[3+i] != strconv.Itoa(mtu) {
				t.Errorf("%s:%d: %s %s, UDP %t: %s, written %s", meshfile, tab.line, row[0], row[1], udp, sum, row[3+i])
			}
		}
	}
}

// TestPredefinedSuites: the suites that need no definition.
func TestPredefinedSuites(t *testing.T) {
	t.Parallel()
	inv, err := load(t, "mesh: pair\ntunnels: 10.255.0.0/16\nsites:\n  a: {number: 1, address: 192.0.2.1}\n  b: {number: 2, address: 192.0.2.2}\nlinks: full\n")
	if err != nil {
		t.Fatal(err)
	}
	got, want := make(map[string]string), make(map[string]string)
	for _, s := range inv.Suites {
		got[s.Name] = fmt.Sprint(s.IKE, " ", s.ESP, " ", mesh.GroupName(s.PFS))
	}
	for _, row := range tableWith(t, "suite").rows {
		want[strings.Trim(row[0], "`")] = strings.Join(row[1:], " ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("the suites are %v, written %v", got, want)
	}
	if s := inv.Links[0].EndA.Suite.Name; s != "modern" {
		t.Errorf("the default suite is %s", s)
	}
}

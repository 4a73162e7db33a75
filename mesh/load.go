package mesh

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// CredentialsVariable names the directory that systemd passes credentials in.
const CredentialsVariable = "CREDENTIALS_DIRECTORY"

// LoadFile reads the mesh file at path and the secrets that it names, relative to it. A non-nil
// error is Problems: all that is wrong.
//
// `secrets: credentials`, or no `secrets` at all, takes them from the directory that systemd's
// LoadCredential= fills ($CREDENTIALS_DIRECTORY), one file a secret.
func LoadFile(path string) (*Inventory, error) { return loadFile(path, "") }

// LoadSite is LoadFile for one site's router, whose secrets file needs to hold the keys of this
// site's links only. The other links of the inventory may lack theirs.
func LoadSite(path, site string) (*Inventory, error) {
	inv, err := loadFile(path, site)
	if err != nil {
		return nil, err
	}
	if _, ok := inv.Site(site); !ok {
		names := make([]string, len(inv.Sites))
		for i, s := range inv.Sites {
			names[i] = s.Name
		}
		return nil, Problems{{File: path, What: fmt.Sprintf("there is no site %q", clip(site)), Fix: oneOf(site, names)}}
	}
	return inv, nil
}

func loadFile(path, only string) (*Inventory, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's file
	if err != nil {
		return nil, Problems{{File: path, What: fmt.Sprintf("the mesh file cannot be read: %v", plain(err)), Fix: "name an existing file"}}
	}
	defer f.Close() //nolint:errcheck // read-only
	src, err := readAll(f)
	if err != nil {
		return nil, Problems{{File: path, What: fmt.Sprintf("the mesh file cannot be read: %v", plain(err)), Fix: "name a plain file"}}
	}
	credentials := os.Getenv(CredentialsVariable)
	return load(path, src, only, func(ref string) (*Secrets, error) {
		switch {
		case ref == "" && credentials == "":
			return nil, nil
		case ref == "" || ref == "credentials" && credentials != "":
			return SecretsDir(credentials)
		case ref == "credentials":
			return nil, complain("start it by systemd with LoadCredential=, or name a file", "there are no credentials: %s is not set", CredentialsVariable)
		}
		if inside := filepath.Join(credentials, filepath.Base(ref)); credentials != "" {
			if _, err := os.Stat(inside); err == nil { //nolint:gosec // systemd's directory, the operator's name
				return openSecrets(inside, false)
			}
		}
		if !filepath.IsAbs(ref) {
			ref = filepath.Join(filepath.Dir(path), ref)
		}
		return openSecrets(ref, true)
	})
}

// Load reads a mesh file from memory. name stands in messages; `secrets:` in the file is not
// followed, the secrets are those given (nil: none).
func Load(name string, src []byte, secrets *Secrets) (*Inventory, error) {
	return load(name, src, "", func(string) (*Secrets, error) { return secrets, nil })
}

// A loader turns the tree into an inventory.
type loader struct {
	*document
	inv     *Inventory
	only    string // the site whose links need their PSK; "": all
	secrets *Secrets
	broken  bool // the secrets could not be read: do not complain about each
	used    map[string]bool
	suites  map[string]Suite
	suite   string // the default one

	sites  []*siteDraft
	byName map[string]*siteDraft
	nodes  struct{ tunnels, links, secrets ast.Node }
	base   settings // what links start from: `ospf:`, then `defaults:`
	drafts []*draft
	noPSK  []*draft
}

// A siteDraft remembers where the parts of a site stand.
type siteDraft struct {
	*Site
	key, number, address, routerID ast.Node
	lan                            []ast.Node
}

// settings are the OSPF settings that links inherit.
type settings struct {
	area                             netip.Addr
	cost                             int
	hello, dead, retransmit, transit time.Duration
	auth                             Auth
	strictMTU                        bool
}

func load(name string, src []byte, only string, open func(ref string) (*Secrets, error)) (*Inventory, error) {
	l := &loader{
		document: &document{name: name},
		inv:      &Inventory{File: name, OSPF: OSPF{SPFDelay: 50 * time.Millisecond, SPFHold: 200 * time.Millisecond}},
		only:     only,
		used:     make(map[string]bool),
		suites:   make(map[string]Suite),
		byName:   make(map[string]*siteDraft),
		base: settings{
			area: quad(0), cost: 10, hello: 10 * time.Second,
			retransmit: 5 * time.Second, transit: time.Second,
		},
	}
	root := l.parse(src)
	if root == nil {
		if len(l.problems) == 0 {
			l.report(nil, "write mesh:, sites: and links: (examples/triangle.yaml is one)", "the mesh file is empty")
		}
		return nil, l.problems
	}
	l.file(l.mapping(root, "the mesh file"), open)
	if len(l.problems) > 0 {
		l.problems.sort()
		return nil, slices.Compact(l.problems)
	}
	return l.inv, nil
}

// file reads the top level. The order of the takes is the order of dependence.
func (l *loader) file(f *fields, open func(ref string) (*Secrets, error)) {
	read(f, "mesh", parseName, &l.inv.Name)
	l.nodes.secrets = f.take("secrets")
	l.openSecrets(open)
	l.nodes.tunnels = f.take("tunnels")
	value(l.document, l.nodes.tunnels, "tunnels", parseNet, &l.inv.Tunnels)
	l.readOSPF(f.take("ospf"))
	l.readSuites(f.take("suites"))
	suite := f.take("suite")
	if value(l.document, suite, "suite", parseName, &l.suite) {
		l.suiteNamed(l.suite, suite)
	}
	l.readSites(f)
	defaults := f.take("defaults")
	l.nodes.links = f.take("links")
	l.readLinks(f.node, defaults)
	f.done()
	if l.inv.Name == "" && !slices.ContainsFunc(l.problems, func(p Problem) bool { return strings.Contains(p.What, "be a name") }) {
		l.report(f.node, "write mesh: and a name at the top", "the mesh has no name")
	}
	l.check()
	l.reportSecrets()
}

func (l *loader) openSecrets(open func(ref string) (*Secrets, error)) {
	ref, _ := l.text(l.nodes.secrets, "secrets")
	s, err := open(ref)
	l.secrets, l.broken = s, err != nil
	if ps, ok := errors.AsType[Problems](err); ok {
		l.problems = append(l.problems, ps...)
	} else if err != nil {
		l.refuse(l.nodes.secrets, err)
	}
}

// secret resolves `$name`.
func (l *loader) secret(n ast.Node, what string) (secretEntry, bool) {
	text, ok := l.text(n, what)
	if !ok {
		return secretEntry{}, false
	}
	name, isRef := strings.CutPrefix(text, "$")
	if !isRef || name == "" {
		l.report(n, "write $NAME, and NAME with the key into "+l.secrets.where(), "%s does not belong into this file", what)
		return secretEntry{}, false
	}
	l.used[name] = true
	e, ok := l.secrets.lookup(name)
	if !ok && !l.broken {
		fix := "write " + clip(name) + ": and the key into " + l.secrets.where()
		if near, found := nearest(name, l.secrets.names()); found {
			fix = "did you mean $" + near + "?"
		}
		l.report(n, fix, "there is no secret %q", clip(name))
	}
	return e, ok
}

// reportSecrets complains about links without a PSK and about secrets that nothing uses: one of
// them is often the misspelt name of the other.
func (l *loader) reportSecrets() {
	slices.SortStableFunc(l.noPSK, func(a, b *draft) int { return cmp.Compare(a.Source, b.Source) })
	for len(l.noPSK) > 0 && !l.broken {
		first := l.noPSK[0]
		same := 1
		for same < len(l.noPSK) && l.noPSK[same].Source == first.Source {
			same++
		}
		what := first.Name
		if same > 1 {
			what += fmt.Sprintf(" and %d more", same-1)
		}
		l.report(first.node, fmt.Sprintf("write %s: and a key (openssl rand -base64 24), or %s: for all links, into %s", first.Name, defaultPSK, l.secrets.where()),
			"there is no pre-shared key for %s", what)
		l.noPSK = l.noPSK[same:]
	}
	if l.secrets == nil || l.secrets.shared || len(l.drafts) == 0 {
		return // without a link nothing can use a key, and nobody should remove one
	}
	wanted := make([]string, 0, len(l.drafts))
	for _, d := range l.drafts {
		wanted = append(wanted, d.Name)
		l.used[d.Name] = true
	}
	for _, e := range l.secrets.entries {
		if l.used[e.name] || e.name == defaultPSK || l.used[reversed(e.name, l.byName)] {
			continue
		}
		fix := "remove it, or use it as $" + e.name
		if near, ok := nearest(e.name, wanted); ok {
			fix = "did you mean " + near + "?"
		}
		l.problems = append(l.problems, Problem{e.file, e.line, e.column, fmt.Sprintf("nothing uses the secret %q", clip(e.name)), fix})
	}
}

// reversed swaps the sites in a link's name: "tokyo-london" for "london-tokyo".
func reversed(name string, sites map[string]*siteDraft) string {
	for i := range name {
		if name[i] != '-' {
			continue
		}
		if a, b := name[:i], name[i+1:]; sites[a] != nil && sites[b] != nil {
			return b + "-" + a
		}
	}
	return name
}

func (l *loader) readOSPF(n ast.Node) {
	f := l.mapping(n, "ospf")
	read(f, "area", parseArea, &l.base.area)
	l.inv.OSPF.Area = l.base.area
	read(f, "spf-delay", parseDelay, &l.inv.OSPF.SPFDelay)
	read(f, "spf-hold", parseDelay, &l.inv.OSPF.SPFHold)
	read(f, "cost", parseInt(1, 65535), &l.base.cost)
	read(f, "hello", parseSeconds(time.Second, 65535*time.Second), &l.base.hello)
	deadNode := f.take("dead")
	value(l.document, deadNode, "dead", parseSeconds(time.Second, 65535*time.Second), &l.base.dead)
	if l.base.dead != 0 && l.base.dead < 2*l.base.hello {
		l.reportDead(deadNode, l.base.hello, l.base.dead)
	}
	read(f, "retransmit", parseSeconds(time.Second, 3600*time.Second), &l.base.retransmit)
	read(f, "transmit-delay", parseSeconds(time.Second, 3600*time.Second), &l.base.transit)
	read(f, "mtu-check", parseMTUCheck, &l.base.strictMTU)
	l.readAuth(f.take("auth"), &l.base.auth)
	f.done()
}

func (l *loader) reportDead(n ast.Node, hello, dead time.Duration) {
	l.report(n, "write dead: "+short(4*hello), "the dead interval %s is less than two hellos of %s: one lost hello would end the adjacency", short(dead), short(hello))
}

func parseMTUCheck(s string) (bool, error) {
	return keyword(word[bool]{"strict", true}, word[bool]{"accept", false})(s)
}

// readAuth reads `none`, {simple: $key}, {md5: {id: 1, key: $key}} or a list of such for md5.
func (l *loader) readAuth(n ast.Node, auth *Auth) {
	if n == nil {
		return
	}
	if s, ok := n.(*ast.StringNode); ok {
		if s.Value == "none" {
			*auth = Auth{}
			return
		}
		l.report(n, "write none, {simple: $key} or {md5: {id: 1, key: $key}}", "%q is no authentication", clip(s.Value))
		return
	}
	f := l.mapping(n, "auth")
	simple, md5 := f.take("simple"), f.take("md5")
	f.done()
	switch {
	case simple != nil && md5 != nil:
		l.report(simple, "keep md5", "auth has both a password and md5")
	case simple != nil:
		*auth = Auth{Type: AuthSimple}
		if e, ok := l.secret(simple, "the password"); ok && l.fits(e, 8, "a simple password") {
			auth.Keys = []AuthKey{{0, e.key}}
		}
	case md5 != nil:
		*auth = Auth{Type: AuthMD5}
		for _, n := range l.list(md5) {
			l.readMD5(n, auth)
		}
	}
}

func (l *loader) readMD5(n ast.Node, auth *Auth) {
	f := l.mapping(n, "an md5 key")
	id, idNode, keyNode := 1, f.take("id"), f.take("key")
	f.done()
	value(l.document, idNode, "id", parseInt(0, 255), &id)
	if slices.ContainsFunc(auth.Keys, func(k AuthKey) bool { return int(k.ID) == id }) {
		l.report(n, "give each key its own id", "two md5 keys have the id %d", id)
	}
	if keyNode == nil {
		l.report(n, "write key: $ospf behind the id", "an md5 key has no key")
		return
	}
	if e, ok := l.secret(keyNode, "the md5 key"); ok && l.fits(e, 16, "an OSPF md5 key") {
		auth.Keys = append(auth.Keys, AuthKey{uint8(id), e.key})
	}
}

// fits checks the length of a secret, at its own place.
func (l *loader) fits(e secretEntry, most int, what string) bool {
	if len(e.key) <= most {
		return true
	}
	l.problems = append(l.problems, Problem{e.file, e.line, e.column,
		fmt.Sprintf("%s has %d bytes, as %s it may have %d", clip(e.name), len(e.key), what, most),
		fmt.Sprintf("shorten it: openssl rand -base64 %d makes one of the full length", most*3/4)})
	return false
}

func (l *loader) readSuites(n ast.Node) {
	for _, s := range predefined() {
		l.suites[s.Name] = s
	}
	f := l.mapping(n, "suites")
	for _, v := range f.values {
		name, err := parseName(keyText(v))
		if err != nil {
			l.refuse(v.Key, err)
			continue
		}
		l.suites[name] = l.readSuite(name, v)
		if len(f.values) == 1 {
			l.suite = name
		}
	}
	for _, s := range l.suites {
		l.inv.Suites = append(l.inv.Suites, s)
	}
	slices.SortFunc(l.inv.Suites, func(a, b Suite) int { return cmp.Compare(a.Name, b.Name) })
	if len(f.values) == 0 {
		l.suite = "modern"
	}
}

// readSuite reads one suite. What it leaves out of a predefined one's name stays as predefined.
func (l *loader) readSuite(name string, v *ast.MappingValueNode) Suite {
	s, known := l.suites[name]
	s.Name, s.Source = name, l.at(v.Key)
	f := l.mapping(v.Value, "a suite")
	ike, esp := f.take("ike"), f.take("esp")
	value(l.document, ike, "ike", parseIKE, &s.IKE)
	value(l.document, esp, "esp", parseESP, &s.ESP)
	if ike == nil && !known {
		l.report(v.Key, "write ike: 3des-sha1-modp1024 or ike: aes256-sha256-modp2048", "suite %s has no phase 1", name)
	}
	if esp == nil && !known {
		l.report(v.Key, "write esp: 3des-sha1, esp: aes256-sha256 or esp: aes128gcm16", "suite %s has no phase 2", name)
	}
	read(f, "pfs", keyword(append([]word[uint16]{{"none", 0}}, groupTable()...)...), &s.PFS)
	life := f.take("lifetime")
	if life != nil {
		lf := l.mapping(life, "lifetime")
		read(lf, "ike", parseSeconds(minLifetime, maxLifetime), &s.IKELifetime)
		read(lf, "esp", parseSeconds(minLifetime, maxLifetime), &s.ESPLifetime)
		kilobytes := 0
		if read(lf, "kilobytes", parseInt(1024, 1<<31-1), &kilobytes) {
			s.Kilobytes = uint32(kilobytes)
		}
		lf.done()
	}
	f.done()
	return s
}

func (l *loader) suiteNamed(name string, n ast.Node) (Suite, bool) {
	s, ok := l.suites[name]
	if !ok {
		names := make([]string, 0, len(l.suites))
		for _, s := range l.inv.Suites {
			names = append(names, s.Name)
		}
		l.report(n, oneOf(name, names), "there is no suite %q", clip(name))
	}
	return s, ok
}

func (l *loader) readSites(f *fields) {
	n := f.take("sites")
	if n == nil {
		l.report(f.node, "write sites: and below it name: {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}", "the mesh has no sites")
		return
	}
	m := l.mapping(n, "sites")
	if len(m.values) == 0 && m.node != nil {
		l.report(n, "write name: {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}", "the mesh has no sites")
	}
	for _, v := range m.values {
		name, err := parseName(keyText(v))
		if err != nil {
			l.refuse(v.Key, err)
			continue
		}
		s := l.readSite(name, v)
		l.sites = append(l.sites, s)
		l.byName[name] = s
	}
	slices.SortStableFunc(l.sites, func(a, b *siteDraft) int { return cmp.Compare(a.Number, b.Number) })
	for _, s := range l.sites {
		l.inv.Sites = append(l.inv.Sites, s.Site)
	}
}

func (l *loader) readSite(name string, v *ast.MappingValueNode) *siteDraft {
	s := &siteDraft{Site: &Site{Name: name, System: Meshrouter, LinkMTU: 1500, Offload: allOffloads(), Source: l.at(v.Key)}, key: v.Key}
	f := l.mapping(v.Value, "site "+name)
	s.number = f.take("number")
	value(l.document, s.number, "number", parseInt(1, 65535), &s.Number)
	s.address = f.take("address")
	if s.address == nil {
		l.report(v.Key, "write address: and the IPv4 address that the peers reach it at", "site %s has no address", name)
	}
	value(l.document, s.address, "address", parseHost, &s.Address)
	s.Bind = s.Address
	read(f, "bind", parseHost, &s.Bind)
	read(f, "system", keyword(
		word[System]{"meshrouter", Meshrouter}, word[System]{"openbsd", OpenBSD},
		word[System]{"screenos", ScreenOS}, word[System]{"strongswan", StrongSwan}), &s.System)
	s.RouterID = quad(uint32(s.Number)) //nolint:gosec // 1..65535 by parseInt
	s.routerID = f.take("router-id")
	if s.routerID == nil {
		s.routerID = v.Key
	} else if value(l.document, s.routerID, "router-id", parseAddr, &s.RouterID) && s.RouterID.IsUnspecified() {
		l.report(s.routerID, "write another one, as in 10.255.0.1", "0.0.0.0 cannot be a router id")
	}
	s.TUN = fmt.Sprintf("mr%d", s.Number)
	read(f, "tun", parseDevice, &s.TUN)
	read(f, "mtu", parseInt(576, 65535), &s.LinkMTU)
	for _, n := range l.list(f.take("lan")) {
		l.readLAN(s, n)
	}
	l.readOffload(s, f.take("offload"))
	f.done()
	return s
}

func allOffloads() Offload {
	return Offload{TUN: true, UDPSegment: true, UDPGRO: true, Timestamps: true, Steering: true, Protocol50: "auto"}
}

// readOffload reads on, off, or {tun: off, protocol-50: raw, …}.
func (l *loader) readOffload(s *siteDraft, n ast.Node) {
	if n == nil {
		return
	}
	onOff := keyword(word[bool]{"on", true}, word[bool]{"off", false})
	if _, isMap := n.(ast.MapNode); !isMap {
		on := true
		if value(l.document, n, "offload", onOff, &on); !on {
			s.Offload = Offload{Protocol50: "raw", Queues: 1}
		}
		return
	}
	f := l.mapping(n, "offload")
	read(f, "tun", onOff, &s.Offload.TUN)
	read(f, "udp-segment", onOff, &s.Offload.UDPSegment)
	read(f, "udp-gro", onOff, &s.Offload.UDPGRO)
	read(f, "timestamps", onOff, &s.Offload.Timestamps)
	read(f, "steering", onOff, &s.Offload.Steering)
	read(f, "protocol-50", keyword(word[string]{"auto", "auto"}, word[string]{"xdp", "xdp"}, word[string]{"ring", "ring"}, word[string]{"raw", "raw"}), &s.Offload.Protocol50)
	read(f, "queues", parseInt(1, 64), &s.Offload.Queues)
	f.done()
}

// readLAN reads a network, or {prefix:, interface:, cost:}.
func (l *loader) readLAN(s *siteDraft, n ast.Node) {
	var prefix netip.Prefix
	if _, isMap := n.(ast.MapNode); !isMap {
		if value(l.document, n, "lan", parseLAN, &prefix) {
			s.LAN, s.lan = append(s.LAN, prefix), append(s.lan, n)
		}
		return
	}
	f := l.mapping(n, "a lan")
	dev := LANInterface{Cost: l.base.cost}
	p := f.take("prefix")
	if p == nil {
		l.report(n, "write prefix: 10.1.0.0/24", "a lan of site %s has no prefix", s.Name)
	}
	good := value(l.document, p, "prefix", parseLAN, &dev.Prefix)
	named := read(f, "interface", parseDevice, &dev.Name)
	cost := f.take("cost")
	value(l.document, cost, "cost", parseInt(1, 65535), &dev.Cost)
	f.done()
	if !named && cost != nil {
		l.report(cost, "write interface: and the device's name", "the cost of a lan needs its interface")
	}
	if good {
		s.LAN, s.lan = append(s.LAN, dev.Prefix), append(s.lan, p)
		if named {
			s.LANInterfaces = append(s.LANInterfaces, dev)
		}
	}
}

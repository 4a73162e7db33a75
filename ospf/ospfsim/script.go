package ospfsim

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"meshrouter/internal/secret"
	"meshrouter/ospf"
)

// A Script is a network described and driven by lines of text:
//
//	router r1 10.255.0.1 stub 10.1.0.0/16 stub 10.3.0.0/16 cost 5
//	tunnel r1 r2 cost 10 delay 20ms hello 10s dead 40s
//
// A router has its id and its stub networks, each followed by its cost. The n-th tunnel has the subnet
// 10.254.n.0/30, the left end the first address; each end's interface is named for the other router. An
// option with left. or right. in front is for that end alone. The options of tunnels: cost, hello, dead, rxmt,
// transdelay, mtu, ddmtu, strict, hostroutes, mask (of the Hello), key (id:secret,...), password, auth none; of the
// link: delay, jitter, loss, duplicate. The line "area 0.0.0.1" and "minlsinterval 1s" count for all routers below.
type Script struct {
	Net      *Net
	routers  map[string]*Router
	links    map[[2]string]*Link
	defaults ospf.Config
	log      []string
}

// NewScript builds the network of a topology; all its links come up at once.
func NewScript(topology string, seed uint64) (*Script, error) {
	sc := &Script{Net: New(seed), routers: map[string]*Router{}, links: map[[2]string]*Link{}}
	sc.Net.Trace = sc.trace
	configs := map[string]*ospf.Config{}
	var names []string
	var tunnels [][]string
	for number, line := range strings.Split(topology, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		fail := func(err error) (*Script, error) { return nil, fmt.Errorf("line %d: %q: %w", number+1, line, err) }
		switch {
		case words[0] == "router" && len(words) >= 3:
			c, err := sc.router(words[2:])
			if err != nil {
				return fail(err)
			}
			names = append(names, words[1])
			configs[words[1]] = c
		case words[0] == "tunnel" && len(words) >= 3 && configs[words[1]] != nil && configs[words[2]] != nil:
			if err := tunnel(configs, words[1], words[2], len(tunnels), words[3:]); err != nil {
				return fail(err)
			}
			tunnels = append(tunnels, words)
		case words[0] == "area" && len(words) == 2:
			id, err := number32(words[1])
			if err != nil {
				return fail(err)
			}
			sc.defaults.Area = ospf.AreaID(id)
		case words[0] == "minlsinterval" && len(words) == 2:
			d, err := time.ParseDuration(words[1])
			if err != nil {
				return fail(err)
			}
			sc.defaults.MinLSInterval = d
		default:
			return fail(fmt.Errorf("want router, tunnel (between routers above), area or minlsinterval"))
		}
	}
	for _, name := range names {
		sc.routers[name] = sc.Net.AddRouter(name, *configs[name])
	}
	for _, t := range tunnels {
		if err := sc.connect(t[1], t[2], t[3:]); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		sc.routers[name].AllUp()
	}
	return sc, nil
}

func (sc *Script) router(words []string) (*ospf.Config, error) {
	c := sc.defaults
	id, err := number32(words[0])
	if err != nil {
		return nil, err
	}
	c.RouterID = ospf.RouterID(id)
	for i := 1; i+1 < len(words); i += 2 {
		last := len(c.Interfaces) - 1
		switch words[i] {
		case "stub":
			p, err := netip.ParsePrefix(words[i+1])
			if err != nil {
				return nil, err
			}
			c.Interfaces = append(c.Interfaces, ospf.InterfaceConfig{
				Name: "lan" + strconv.Itoa(last+1), Type: ospf.Broadcast, Passive: true,
				Address: netip.PrefixFrom(p.Addr().Next(), p.Bits()), Cost: 1,
			})
		case "cost":
			n, err := strconv.ParseUint(words[i+1], 10, 16)
			if err != nil || last < 0 {
				return nil, fmt.Errorf("cost %s: want a number behind a stub", words[i+1])
			}
			c.Interfaces[last].Cost = ospf.Metric(n)
		default:
			return nil, fmt.Errorf("%s: want stub or cost", words[i])
		}
	}
	return &c, nil
}

func number32(s string) (uint32, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return 0, fmt.Errorf("%s: want a dotted quad", s)
	}
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), nil
}

// tunnel adds the two interfaces of the n-th tunnel to the configurations.
func tunnel(configs map[string]*ospf.Config, left, right string, n int, options []string) error {
	subnet := netip.AddrFrom4([4]byte{10, 254, byte(n), 0}) //nolint:gosec // scripts are small
	add := func(name, other, side string, a, peer netip.Addr) error {
		f := ospf.InterfaceConfig{
			Name: freeName(configs[name], other), Address: netip.PrefixFrom(a, 30), Peer: peer,
			HelloMask: [4]byte{255, 255, 255, 252}, DDMTU: 1500, Source: "mesh.yaml:" + strconv.Itoa(n+1),
		}
		if err := setOptions(&f, side, options); err != nil {
			return err
		}
		configs[name].Interfaces = append(configs[name].Interfaces, f)
		return nil
	}
	one, two := subnet.Next(), subnet.Next().Next()
	if err := add(left, right, "left.", one, two); err != nil {
		return err
	}
	return add(right, left, "right.", two, one)
}

func freeName(c *ospf.Config, name string) string {
	try := name
	for i := 2; slices.ContainsFunc(c.Interfaces, func(f ospf.InterfaceConfig) bool { return f.Name == try }); i++ {
		try = name + "." + strconv.Itoa(i)
	}
	return try
}

// setOptions applies the options that are for both ends or for this side.
func setOptions(f *ospf.InterfaceConfig, side string, words []string) error {
	for len(words) > 0 {
		name, value := words[0], ""
		flag := strings.HasSuffix(name, "strict") || strings.HasSuffix(name, "hostroutes")
		if words = words[1:]; !flag {
			if len(words) == 0 {
				return fmt.Errorf("%s: want a value", name)
			}
			value, words = words[0], words[1:]
		}
		bare, mine := strings.CutPrefix(name, side)
		if strings.Contains(bare, ".") && !mine {
			continue
		}
		if err := setOption(f, bare, value); err != nil {
			return fmt.Errorf("%s %s: %w", name, value, err)
		}
	}
	return nil
}

func setOption(f *ospf.InterfaceConfig, name, value string) (err error) {
	var n uint64
	switch name {
	case "cost":
		n, err = strconv.ParseUint(value, 10, 16)
		f.Cost = ospf.Metric(n)
	case "hello":
		f.HelloInterval, err = time.ParseDuration(value)
	case "dead":
		f.RouterDeadInterval, err = time.ParseDuration(value)
	case "rxmt":
		f.RxmtInterval, err = time.ParseDuration(value)
	case "transdelay":
		f.InfTransDelay, err = time.ParseDuration(value)
	case "mtu":
		f.MTU, err = strconv.Atoi(value)
	case "ddmtu":
		n, err = strconv.ParseUint(value, 10, 16)
		f.DDMTU = uint16(n)
	case "strict":
		f.StrictMTU = true
	case "hostroutes":
		f.HostRoutes = true
		f.Address = netip.PrefixFrom(f.Address.Addr(), 32)
	case "mask":
		var a netip.Addr
		if a, err = netip.ParseAddr(value); err == nil {
			f.HelloMask = a.As4()
		}
	case "auth":
		f.Auth = ospf.Auth{}
	case "password":
		f.Auth = ospf.Auth{Type: ospf.SimplePassword, Keys: []ospf.Key{{Key: secret.Key(value)}}}
	case "key":
		f.Auth = ospf.Auth{Type: ospf.CryptographicAuth}
		for k := range strings.SplitSeq(value, ",") {
			id, text, ok := strings.Cut(k, ":")
			if n, err = strconv.ParseUint(id, 10, 8); err != nil || !ok {
				return fmt.Errorf("want id:secret")
			}
			f.Auth.Keys = append(f.Auth.Keys, ospf.Key{ID: uint8(n), Key: secret.Key(text)}) //nolint:gosec // parsed as 8 bits
		}
	case "delay", "jitter", "loss", "duplicate":
	default:
		return fmt.Errorf("no such option")
	}
	return err
}

func (sc *Script) connect(left, right string, options []string) error {
	a, b := sc.routers[left], sc.routers[right]
	l := sc.Net.Connect(a, a.unused(right), b, b.unused(left), time.Millisecond)
	sc.links[[2]string{left, l.a.name}], sc.links[[2]string{right, l.b.name}] = l, l
	return l.set(options)
}

// unused is the first interface towards the other router that has no link yet.
func (r *Router) unused(other string) string {
	for _, f := range r.Config.Interfaces {
		if r.ends[f.Name] == nil && (f.Name == other || strings.HasPrefix(f.Name, other+".")) {
			return f.Name
		}
	}
	return ""
}

// set applies the options that are the link's.
func (l *Link) set(words []string) (err error) {
	for i := 0; i+1 < len(words) && err == nil; i++ {
		switch words[i] {
		case "delay":
			l.Delay, err = time.ParseDuration(words[i+1])
		case "jitter":
			l.Jitter, err = time.ParseDuration(words[i+1])
		case "loss":
			l.Loss, err = strconv.ParseFloat(words[i+1], 64)
		case "duplicate":
			l.Duplicate, err = strconv.ParseFloat(words[i+1], 64)
		}
	}
	return err
}

// Router finds a router by name.
func (sc *Script) Router(name string) *Router { return sc.routers[name] }

// Link finds a link by a router and the name of its interface.
func (sc *Script) Link(router, iface string) *Link { return sc.links[[2]string{router, iface}] }

// Do runs one command and writes what it shows to w:
//
//	run 10s                       let time pass
//	cut r1 r2, mend r1 r2         packets between r1 and its interface r2's end vanish, or pass again
//	down r1 r2 REASON, up r1 r2   the interface of r1 alone goes down or comes up
//	link r1 r2 loss 0.3           change the link
//	set r1 r2 cost 20             reconfigure the interface of r1
//	id r1 10.255.0.9              reconfigure the router id
//	remove r1 r2                  take the interface out of the configuration
//	crash r1, restart r1          as kill -9 does; with the configuration and the reserved sequence number
//	shutdown r1
//	show r1 neighbors|interfaces|routes|database|ages|events|changes|summary
//	show r1 counters NAME...
//	show r1 lsa                   the links of r1's own router-LSA
//	packets r1 r2                 what r1 sent on its interface r2 since this was asked last
func (sc *Script) Do(w io.Writer, words ...string) error {
	if len(words) < 2 {
		return fmt.Errorf("%q: want a command and its argument", words)
	}
	if words[0] == "run" {
		d, err := time.ParseDuration(words[1])
		sc.Net.Run(d)
		return err
	}
	r := sc.routers[words[1]]
	if r == nil {
		return fmt.Errorf("%s: no router of that name", words[1])
	}
	switch words[0] {
	case "crash":
		r.Kill()
		return nil
	case "restart":
		r.Restart()
		return nil
	case "shutdown":
		r.Input(ospf.Shutdown{})
		return nil
	}
	if len(words) < 3 {
		return fmt.Errorf("%q: want another argument", words)
	}
	switch words[0] {
	case "show", "packets":
		var b strings.Builder
		err := sc.show(&b, r, words)
		if _, werr := io.WriteString(w, b.String()); err == nil {
			err = werr
		}
		return err
	case "id":
		id, err := number32(words[2])
		c := r.Config
		c.RouterID = ospf.RouterID(id)
		r.Configure(c)
		return err
	}
	return sc.change(r, words[0], words[2], words[3:])
}

// change does what concerns one interface.
func (sc *Script) change(r *Router, command, iface string, rest []string) error {
	l := sc.Link(r.Name, iface)
	i := slices.IndexFunc(r.Config.Interfaces, func(f ospf.InterfaceConfig) bool { return f.Name == iface })
	if l == nil && strings.HasPrefix(iface, "lan") {
		l = &Link{}
	}
	if l == nil || i < 0 {
		return fmt.Errorf("%s has no interface %s", r.Name, iface)
	}
	switch command {
	case "cut":
		l.Cut = true
	case "mend":
		l.Cut = false
	case "link":
		return l.set(rest)
	case "down":
		r.Input(ospf.InterfaceDown{Interface: iface, Reason: strings.Join(rest, " ")})
	case "up":
		r.Input(ospf.InterfaceUp{Interface: iface})
	case "set":
		c := r.Config
		c.Interfaces = slices.Clone(c.Interfaces)
		err := setOptions(&c.Interfaces[i], "", rest)
		r.Configure(c)
		return err
	case "remove":
		c := r.Config
		c.Interfaces = slices.Delete(slices.Clone(c.Interfaces), i, i+1)
		r.Configure(c)
	default:
		return fmt.Errorf("%s: no such command", command)
	}
	return nil
}

func (sc *Script) show(w *strings.Builder, r *Router, words []string) error {
	now := sc.Net.Now()
	in := r.Instance
	if words[0] == "packets" {
		sc.packets(w, r, words[2])
		return nil
	}
	switch what, rest := words[2], words[3:]; what {
	case "neighbors":
		for _, n := range in.Neighbors(now) {
			fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("%v %v %v %s", n.Interface, n.ID, n.State, n.LastReason)))
		}
	case "interfaces":
		for _, f := range in.Interfaces(now) {
			fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("%s %v up=%t cost %d nc %d ac %d %s%s", f.Config.Name, f.State, f.Up, f.Config.Cost, f.Neighbors, f.Adjacent, f.Reason, f.LastError)))
		}
	case "routes":
		for _, route := range in.Routes() {
			fmt.Fprintln(w, routeText(route))
		}
	case "database", "ages":
		for _, l := range in.Database(now) {
			fmt.Fprintf(w, "%v %v of %v seq %08x", ospf.LSType(l.Type), netip.AddrFrom4(l.ID), l.AdvRouter, l.Sequence)
			if what == "ages" {
				fmt.Fprintf(w, " age %d", l.Age)
			}
			fmt.Fprintln(w)
		}
	case "lsa":
		return showLSA(w, r, now)
	case "events":
		for _, e := range r.Events {
			fmt.Fprintln(w, strings.TrimSpace(e.Interface+" "+e.Name+": "+e.Text))
		}
		r.Events = nil
	case "changes":
		for _, c := range r.Changes {
			fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("%s %v %v -> %v %s", c.Interface, c.Neighbor, c.From, c.To, c.Reason)))
		}
		r.Changes = nil
	case "counters":
		all := in.Counters()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if len(rest) == 0 || slices.Contains(rest, name) {
				fmt.Fprintf(w, "%s %d\n", name, all[name])
			}
		}
	case "summary":
		s := in.Summary(now)
		fmt.Fprintf(w, "router %v area %v uptime %v lsas %d interfaces %d full %d\n", s.RouterID, s.Area, s.Uptime, s.LSAs, s.Interfaces, s.FullCount)
	default:
		return fmt.Errorf("show %s: no such view", what)
	}
	return nil
}

func routeText(r ospf.Route) string {
	if r.Local {
		return fmt.Sprintf("%v local %s", r.Prefix, r.NextHops[0].Interface)
	}
	cost := strconv.FormatUint(uint64(r.Cost), 10)
	switch r.PathType {
	case ospf.InterArea:
		cost = "inter " + cost
	case ospf.Type1External:
		cost = "E1 " + cost
	case ospf.Type2External:
		cost = fmt.Sprintf("E2 %d+%d", r.Type2Cost, r.Cost)
	case ospf.IntraArea:
	}
	var hops []string
	for _, h := range r.NextHops {
		hops = append(hops, fmt.Sprintf("%s %v", h.Interface, h.Addr))
	}
	return fmt.Sprintf("%v %s via %s", r.Prefix, cost, strings.Join(hops, ", "))
}

func showLSA(w *strings.Builder, r *Router, now time.Time) error {
	for _, l := range r.Instance.Database(now) {
		if l.AdvRouter != r.Config.RouterID || ospf.LSType(l.Type) != ospf.RouterLSAType {
			continue
		}
		body, err := ospf.ParseRouterLSA(ospf.LSA(l.Raw).Body())
		if err != nil {
			return err
		}
		for _, k := range body.Links {
			fmt.Fprintf(w, "%d %v %v %d\n", k.Type, ospf.RouterID(k.ID), ospf.RouterID(k.Data), k.Metric)
		}
	}
	return nil
}

// trace keeps a line for each packet sent.
func (sc *Script) trace(now time.Time, r *Router, o ospf.Output) {
	if s, ok := o.(ospf.Send); ok && len(sc.log) < maxLog {
		sc.log = append(sc.log, fmt.Sprintf("%s %s %v %s", r.Name, s.Interface, now.Sub(sc.Net.start), Describe(s.Payload)))
	}
}

const maxLog = 100_000

// packets writes the lines kept for one interface since the last call for it.
func (sc *Script) packets(w *strings.Builder, r *Router, iface string) {
	prefix := r.Name + " " + iface + " "
	sc.log = slices.DeleteFunc(sc.log, func(line string) bool {
		text, ok := strings.CutPrefix(line, prefix)
		if ok {
			fmt.Fprintln(w, text)
		}
		return ok
	})
}

// Describe says in a line what an OSPF packet is.
func Describe(payload []byte) string {
	h, body, _, err := ospf.ParsePacket(payload)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprint(&b, h.Type)
	switch h.Type {
	case ospf.HelloPacket:
		p, _ := ospf.ParseHello(body)
		fmt.Fprintf(&b, " %v", p.Neighbors)
	case ospf.DatabaseDescriptionPacket:
		p, _ := ospf.ParseDatabaseDescription(body)
		fmt.Fprintf(&b, " %v mtu %d", p.Flags, p.MTU)
		describeHeaders(&b, p.Headers)
	case ospf.LSRequestPacket:
		p, _ := ospf.ParseLinkStateRequest(body)
		for _, k := range p.LSAs {
			fmt.Fprintf(&b, " [%v %v of %v]", k.Type, k.ID, k.AdvRouter)
		}
	case ospf.LSUpdatePacket:
		p, _ := ospf.ParseLinkStateUpdate(body)
		var headers []ospf.LSAHeader
		for _, l := range p.LSAs {
			headers = append(headers, l.Header())
		}
		describeHeaders(&b, headers)
	case ospf.LSAckPacket:
		p, _ := ospf.ParseLinkStateAck(body)
		describeHeaders(&b, p.Headers)
	}
	return b.String()
}

func describeHeaders(w *strings.Builder, headers []ospf.LSAHeader) {
	for _, h := range headers {
		fmt.Fprintf(w, " [%v %v of %v seq %08x age %d]", h.Type, h.ID, h.AdvRouter, uint32(h.Sequence), h.Age) //nolint:gosec // as on the wire
	}
}

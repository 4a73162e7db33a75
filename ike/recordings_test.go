package ike

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
	"meshrouter/internal/recordings"
)

var update = flag.Bool("update", false, "write the golden files again")

// A replay puts an engine in the place of one host of a recording. The other host's messages come from the
// recording; ours must lead it to the recorded end. Random values are the recorded ones, by name.
type replay struct {
	t        *testing.T
	rec      *recordings.Recording
	host     netip.Addr
	engine   *Engine
	now      time.Time
	start    time.Time // of the recording
	values   map[valueName][][]byte
	dh       []dhResult // in the place of computations whose exponent nobody knows
	sent     [][]byte   // not yet compared
	same     []int      // frames that we wrote byte for byte
	replaced []int      // quick mode messages that we wrote differently: the IV goes on from the recorded one
	padded   []int      // frames that we wrote but for a block of padding more, which strongSwan likes
	outs     []Output
	closed   bool // Terminate was given
}

// confWord returns the word behind key in an ipsec.conf line, behind the first from.
func confWord(conf, from, key string) string {
	_, rest, ok := strings.Cut(" "+conf+" ", " "+from+" ")
	if !ok {
		return ""
	}
	if from == "main" || from == "aggressive" { // its words end where those of quick begin
		rest, _, _ = strings.Cut(rest, " quick ")
	}
	_, rest, ok = strings.Cut(" "+rest, " "+key+" ")
	if !ok {
		return ""
	}
	word, _, _ := strings.Cut(rest, " ")
	return strings.Trim(word, `"`)
}

func swanWord(conf, key string) string {
	_, rest, _ := strings.Cut(conf, " "+key+" = ")
	word, _, _ := strings.Cut(rest, "\n")
	return word
}

func confSelector(t *testing.T, word string) Selector {
	t.Helper()
	if !strings.Contains(word, "/") {
		return Selector{Prefix: netip.PrefixFrom(netip.MustParseAddr(word), 32)}
	}
	return Selector{Prefix: netip.MustParsePrefix(word), Subnet: true}
}

func confIdentity(word string) Identity {
	if word == "" {
		return Identity{}
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return Identity{Type: isakmp.IDIPv4Addr, Data: a.AsSlice()}
	}
	return Identity{Type: isakmp.IDFQDN, Data: []byte(word)}
}

// confPeer is what an ipsec.conf line says, in our words.
func confPeer(t *testing.T, rec *recordings.Recording, host netip.Addr) PeerConfig {
	t.Helper()
	conf, ok := rec.IPsecConf[host.String()]
	remote := netip.MustParseAddr("192.0.2.1")
	if host == remote {
		remote = netip.MustParseAddr("192.0.2.2")
	}
	mirror := !ok // strongSwan, or a script: the other end of the one line that there is
	if mirror {
		conf = rec.IPsecConf[remote.String()]
	}
	life := func(word string, otherwise int) time.Duration {
		if n, err := strconv.Atoi(word); err == nil {
			otherwise = n
		}
		return time.Duration(otherwise) * time.Second
	}
	group := func(word string) Group {
		return map[string]Group{"modp1024": isakmp.MODP1024, "none": isakmp.NoGroup}[word]
	}
	c := PeerConfig{
		ID: "recorded", Local: host, Remote: remote, PSK: []byte("meshrouter-test-psk"), Profile: ProfileOpenBSD,
		Mode: isakmp.Tunnel, Source: "mesh.yaml:12:5", PFS: group(confWord(conf, "quick", "group")),
		Phase1:  []Phase1Transform{{Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1, Group: isakmp.MODP1024}},
		Phase2:  []Phase2Transform{{ID: isakmp.ESP3DES, Auth: isakmp.HMACSHA}},
		LocalTS: confSelector(t, confWord(conf, "esp", "from")), RemoteTS: confSelector(t, confWord(conf, "esp", "to")),
		LocalID: confIdentity(confWord(conf, "quick", "srcid")), RemoteID: confIdentity(confWord(conf, "quick", "dstid")),
		Phase1Lifetime: life(confWord(conf, "main", "lifetime"), 3600), Phase2Lifetime: life(confWord(conf, "quick", "lifetime"), 1200),
	}
	if strings.Contains(conf, "transport") {
		c.Mode = isakmp.Transport
		c.LocalTS = confSelector(t, confWord(conf, "gre", "from"))
		c.LocalTS.Protocol, c.RemoteTS.Protocol = 47, 47
	}
	if confWord(conf, "main", "enc") == "aes" {
		c.Phase1[0].Encryption, c.Phase1[0].KeyLength = isakmp.AESCBC, 128
	}
	if confWord(conf, "quick", "enc") == "aes" {
		c.Phase2[0].ID, c.Phase2[0].KeyLength = isakmp.ESPAES, 128
	}
	if strings.Contains(conf, "passive") {
		c.Initiate = InitiateNever
	}
	if mirror {
		c.Profile = ProfileStrongSwan
		c.LocalTS, c.RemoteTS, c.LocalID, c.RemoteID = c.RemoteTS, c.LocalTS, c.RemoteID, c.LocalID
		c.Initiate = InitiateAlways - c.Initiate + InitiateNever // the other way round
	}
	if swan := rec.Swanctl; mirror && swan != "" {
		if word := swanWord(swan, "proposals"); strings.HasPrefix(word, "aes128") {
			c.Phase1[0].Encryption, c.Phase1[0].KeyLength = isakmp.AESCBC, 128
		}
		if word := swanWord(swan, "esp_proposals"); strings.HasPrefix(word, "aes128") {
			c.Phase2[0].ID, c.Phase2[0].KeyLength = isakmp.ESPAES, 128
		}
		// strongSwan's hard end is a tenth behind its rekey_time, first that of the ISAKMP SA in the file
		c.Phase1Lifetime = life(strings.TrimSuffix(swanWord(swan, "rekey_time"), "s"), 0) * 11 / 10
		_, children, _ := strings.Cut(swan, "esp_proposals")
		c.Phase2Lifetime = life(strings.TrimSuffix(swanWord(children, "rekey_time"), "s"), 0) * 11 / 10
		c.LocalTS = confSelector(t, strings.TrimSuffix(swanWord(swan, "local_ts"), "/32"))
		c.RemoteTS = confSelector(t, strings.TrimSuffix(swanWord(swan, "remote_ts"), "/32"))
	}
	if strings.HasPrefix(rec.Scenario, "dpd") || strings.HasSuffix(rec.Scenario, "dpd") || strings.Contains(conf, "dynamic") {
		c.DPD = 5 * time.Second
	}
	if rec.Scenario == "main-quick-no-natt" {
		c.NATT = NATTOff
	}
	if rec.Scenario == "swan-initiator-natt" && mirror || rec.Scenario == "swan-responder-natt" && mirror {
		c.NATT = NATTForce
	}
	return c
}

func newReplay(t *testing.T, rec *recordings.Recording, host string, change func(*PeerConfig)) *replay {
	t.Helper()
	r := &replay{t: t, rec: rec, host: netip.MustParseAddr(host), now: testStart, values: make(map[valueName][][]byte)}
	r.collect()
	r.engine = New(seeded(9), EngineOptions{})
	r.engine.values = func(name valueName) []byte {
		if name == valueJitter {
			return make([]byte, 8)
		}
		q := r.values[name]
		if len(q) == 0 {
			return nil
		}
		r.values[name] = q[1:]
		return q[0]
	}
	var c PeerConfig
	if len(rec.IPsecConf) > 0 {
		c = confPeer(t, rec, r.host)
	}
	if len(rec.Phase1) > 0 {
		if psk, ok := rec.Phase1[0].PSK[host]; ok {
			c.PSK = []byte(psk)
		}
	}
	if change != nil {
		change(&c)
	}
	r.step(Configure{Config{Peers: []PeerConfig{c}}})
	r.engine.peers[0].contacted = !r.saysContact()
	return r
}

// saysContact reports whether our host said INITIAL-CONTACT in its first main mode.
func (r *replay) saysContact() bool {
	for _, m := range r.rec.Messages {
		if m.Src == r.host && m.Exchange == "main" && m.Encrypted() {
			return slices.ContainsFunc(m.Payloads, func(p recordings.Payload) bool { return p.Type == "N" })
		}
	}
	return true
}

// collect puts the recorded values of our host into the order in which we draw them.
func (r *replay) collect() {
	add := func(name valueName, v []byte) {
		if len(v) > 0 {
			r.values[name] = append(r.values[name], v)
		}
	}
	for _, m := range r.rec.Messages {
		if m.Src != r.host || m.RetransmissionOf != 0 {
			continue
		}
		types := make([]string, 0, len(m.Payloads))
		for _, p := range m.Payloads {
			types = append(types, p.Type)
		}
		var p1 recordings.Phase1
		for _, p := range r.rec.Phase1 {
			if bytes.Equal(p.InitiatorCookie, m.InitiatorCookie) {
				p1 = p
			}
		}
		var p2 recordings.Phase2
		for _, p := range r.rec.Phase2 {
			if bytes.Equal(p.MessageID, m.MessageID) {
				p2 = p
			}
		}
		switch has := func(t string) bool { return slices.Contains(types, t) }; {
		case m.Exchange == "main" && has("SA") && bytes.Equal(m.ResponderCookie, make([]byte, 8)):
			add(valueCookie, m.InitiatorCookie)
		case m.Exchange == "main" && has("SA"):
			add(valueCookie, m.ResponderCookie)
		case m.Exchange == "main" && has("KE"):
			initiator := bytes.Equal(nonceOf(m), p1.NonceI)
			add(valueNonce, nonceOf(m))
			r.exponent(initiator, p1.PrivateI, p1.PrivateR, p1.PublicI, p1.PublicR, p1.Shared, add)
		case m.Exchange == "quick" && has("SA"):
			initiator := bytes.Equal(nonceOf(m), p2.NonceI)
			if initiator {
				add(valueQuickID, m.MessageID)
			}
			add(valueNonce, nonceOf(m))
			for _, p := range m.Payloads {
				if p.Type == "SA" && len(p.Proposals) > 0 {
					add(valueSPI, p.Proposals[0].SPI)
				}
			}
			if has("KE") {
				r.exponent(initiator, p2.PrivateI, p2.PrivateR, p2.PublicI, p2.PublicR, p2.Shared, add)
			}
		case m.Exchange == "informational":
			add(valueInfoID, m.MessageID)
			for _, p := range m.Payloads {
				if p.Name == "R-U-THERE" && len(r.values[valueSequence]) == 0 {
					add(valueSequence, spiBytes(be32(p.Data)-1))
				}
			}
		}
	}
}

func nonceOf(m recordings.Message) []byte {
	for _, p := range m.Payloads {
		if p.Type == "NONCE" {
			return p.Data
		}
	}
	return nil
}

// exponent adds ours, or, where it is unknown, the results of the computations.
func (r *replay) exponent(initiator bool, xi, xr, gi, gr, shared []byte, add func(valueName, []byte)) {
	switch {
	case initiator && len(xi) > 0:
		add(valueExponent, pad(xi, 128))
	case !initiator && len(xr) > 0:
		add(valueExponent, pad(xr, 128))
	case initiator:
		r.dh = append(r.dh, dhResult{public: gi}, dhResult{shared: shared})
	default:
		r.dh = append(r.dh, dhResult{public: gr, shared: shared})
	}
}

func pad(b []byte, n int) []byte { return append(make([]byte, max(0, n-len(b))), b...) }

// step feeds an input and everything that follows at once.
func (r *replay) step(in Input) {
	queue := []Input{in}
	for len(queue) > 0 {
		in, queue = queue[0], queue[1:]
		for _, o := range r.engine.Step(r.now, in, nil) {
			r.outs = append(r.outs, o)
			switch o := o.(type) {
			case Send:
				if r.start.IsZero() {
					r.start = r.now
				}
				r.sent = append(r.sent, o.Payload)
			case Compute:
				if len(r.dh) > 0 {
					queue = append(queue, Computed{o.ID, r.dh[0]})
					r.dh = r.dh[1:]
				} else {
					queue = append(queue, Computed{o.ID, o.Job()})
				}
			}
		}
	}
}

// until lets time pass.
func (r *replay) until(end time.Time) {
	for {
		d := r.engine.Deadline()
		if d.IsZero() || d.After(end) {
			break
		}
		r.now = d
		r.step(Tick{})
	}
	if end.After(r.now) {
		r.now = end
	}
}

// play runs the whole recording.
func (r *replay) play() {
	r.t.Helper()
	messages := r.rec.Messages
	if messages[0].Src != r.host {
		r.start = r.now
	}
	shutdown := len(messages) // where our host's last DELETEs begin
	for i := len(messages) - 1; i >= 0 && messages[i].Src == r.host && len(messages[i].Payloads) == 2 && messages[i].Payloads[1].Type == "D"; i-- {
		shutdown = i
	}
	for i, m := range messages {
		if r.start.IsZero() && m.Src == r.host && !r.engine.Deadline().IsZero() { // until we begin
			r.until(r.engine.Deadline())
		}
		r.until(r.start.Add(m.Time()))
		if m.Src != r.host && r.deaf(m) {
			continue
		}
		if m.Src != r.host {
			r.step(Datagram{Local: m.To(), Remote: m.From(), Payload: m.IKE})
			continue
		}
		if i >= shutdown && !r.closed {
			r.closed = true
			r.step(Terminate{})
		}
		if j := slices.IndexFunc(r.sent, func(b []byte) bool { return bytes.Equal(b, m.IKE) }); j >= 0 {
			r.sent = slices.Delete(r.sent, j, j+1)
			r.same = append(r.same, m.Frame)
		} else {
			r.align(m)
		}
	}
	r.until(r.now.Add(time.Second))
}

// align lets the engine go on as if it had written the recorded message where that differs from ours in form
// only: the order of attributes in message 1, which both hashes cover, and padding, which is the next IV.
func (r *replay) align(m recordings.Message) {
	sa := r.engine.find(&message{h: isakmp.Header{InitiatorCookie: isakmp.Cookie(m.InitiatorCookie), ResponderCookie: isakmp.Cookie(m.ResponderCookie)}})
	if sa == nil {
		return
	}
	var chain *keys.Chain
	for _, q := range sa.peer.quicks {
		if q.id == be32(m.MessageID) && m.Exchange == "quick" {
			chain = &q.chain
		}
	}
	switch x := sa.main; {
	case m.Exchange == "main" && x != nil && sa.initiator && x.expect == 2 && isakmp.Cookie(m.ResponderCookie).IsZero():
		ps, _, err := isakmp.ParsePayloads(isakmp.PayloadSA, m.IKE[isakmp.HeaderSize:])
		if err != nil {
			r.t.Fatal(err)
		}
		offer, err := isakmp.ParseSA(ps[0].Body)
		if err != nil {
			r.t.Fatal(err)
		}
		if offer.Proposals[0].Transforms[0].Same(x.offer.Proposals[0].Transforms[0]) {
			x.offer, x.offerBody = offer, ps[0].Body
		}
	case m.Exchange == "main" && x != nil && m.Encrypted():
		chain = &x.chain
	}
	for j, b := range r.sent {
		if chain == nil || len(b) < isakmp.HeaderSize || !bytes.Equal(b[16:24], m.IKE[16:24]) || len(b) != isakmp.HeaderSize+len(m.Plaintext)-blockOf(m) {
			continue
		}
		if !bytes.Equal(b[isakmp.HeaderSize:], m.IKE[isakmp.HeaderSize:len(b)]) { // CBC: a longer plaintext begins with the same blocks
			continue
		}
		r.sent = slices.Delete(r.sent, j, j+1)
		r.padded = append(r.padded, m.Frame)
		var err error
		if _, *chain, err = chain.Open(m.IKE); err != nil {
			r.t.Fatal(err)
		}
		if m.Exchange == "main" && sa.established {
			sa.lastBlock = chain.IV()
		}
		return
	}
	if m.Exchange == "quick" && chain != nil && m.RetransmissionOf == 0 { // strongSwan orders attributes in its own way
		_, next, err := chain.Open(m.IKE)
		if err != nil {
			r.t.Fatal(err)
		}
		*chain = next
		r.replaced = append(r.replaced, m.Frame)
	}
}

func blockOf(m recordings.Message) int { return len(m.IV) }

// deaf reports whether isakmpd did not answer the message 1 because of its last main mode; we would, and the
// recording would go another way.
func (r *replay) deaf(m recordings.Message) bool {
	if r.rec.Scenario != "initiator-restart" && r.rec.Scenario != "reconnect-after-delete" {
		return false
	}
	return !slices.ContainsFunc(r.rec.Messages, func(o recordings.Message) bool {
		return o.Src == r.host && bytes.Equal(o.InitiatorCookie, m.InitiatorCookie)
	})
}

// summary is how it ended, for the golden file.
func (r *replay) summary() string {
	var b strings.Builder
	st := r.engine.Status(r.now)[0]
	fmt.Fprintf(&b, "frames written as recorded: %v\n", r.same)
	if len(r.padded) > 0 {
		fmt.Fprintf(&b, "frames written but for a block of padding: %v\n", r.padded)
	}
	if len(r.replaced) > 0 {
		fmt.Fprintf(&b, "frames written with other attributes or padding: %v\n", r.replaced)
	}
	fmt.Fprintf(&b, "state: %s: %s; NAT: %s\n", st.State, st.Reason, st.NAT)
	for _, o := range r.outs {
		switch o := o.(type) {
		case AddInbound, UseOutbound, RemoveSA, PeerChanged:
			fmt.Fprintf(&b, "  %s\n", o)
		case Event:
			if o.Severity > Debug {
				fmt.Fprintf(&b, "  %s\n", o)
			}
		}
	}
	counters := r.engine.Counters()
	for _, name := range sortedKeys(counters) {
		fmt.Fprintf(&b, "  %s %d\n", name, counters[name])
	}
	return b.String()
}

// checkKeys compares the keys of every SA that we made with the recorded ones.
func (r *replay) checkKeys() (checked, differ int) {
	check := func(sa ChildSA) {
		for _, p := range r.rec.Phase2 {
			for _, rec := range p.SAs {
				if be32(rec.SPI) != sa.SPI || (rec.Receiver == r.host.String()) != sa.Inbound {
					continue
				}
				checked++
				if !bytes.HasPrefix(rec.KEYMAT, slices.Concat(sa.EncKey, sa.AuthKey)) {
					differ++
				}
			}
		}
	}
	for _, o := range r.outs {
		switch o := o.(type) {
		case AddInbound:
			check(o.SA)
		case UseOutbound:
			check(o.SA)
		}
	}
	return checked, differ
}

// TestRecordings replays all 57 recordings of isakmpd, once in the place of each host, and compares how each
// ends with testdata/recordings.golden (isakmpd-wire.md). What the golden file must say of every
// recording of some kind is asserted in the tests below.
func TestRecordings(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, rec := range recordings.Isakmpd(t) {
		for _, host := range []string{"192.0.2.1", "192.0.2.2"} {
			r := newReplay(t, rec, host, nil)
			r.play()
			checked, differ := r.checkKeys()
			fmt.Fprintf(&b, "== %s as %s\n%s  SAs with recorded SPIs: %d, of these with other keys: %d\n\n", rec.Scenario, host, r.summary(), checked, differ)
		}
	}
	golden(t, "recordings.golden", b.String())
}

// golden compares text with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		var x, y string
		if i < len(g) {
			x = g[i]
		}
		if i < len(w) {
			y = w[i]
		}
		if x != y {
			t.Fatalf("%s differs at line %d (run with -update and read the diff):\n got %s\nwant %s", path, i+1, x, y)
		}
	}
}

// TestAsIsakmpd: in the place of isakmpd we write SA, KE, NONCE, NAT-D, ID and HASH payloads byte for byte as it did, in
// both roles and both phases, and get its keys (isakmpd-wire.md, 1 to 4). Messages 1 and 2 differ in the first
// vendor id only: we are not OpenBSD.
func TestAsIsakmpd(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"aes", "delete-by-responder", "id-fqdn", "id-ipv4", "id-slash32", "long-lifetime", "main-quick", "main-quick-no-natt",
		"p1-life-default", "pfs", "proto-gre-transport", "proxy-host", "proxy-net", "swan-initiator", "swan-initiator-delete",
		"swan-initiator-natt", "swan-responder", "swan-responder-natt", "swan-responder-pfs", "swan-responder-dpd",
	} {
		rec := recordings.Isakmpd(t, name)[0]
		for host, what := range rec.Hosts {
			if !strings.HasPrefix(what, "isakmpd") {
				continue
			}
			r := newReplay(t, rec, host, nil)
			r.play()
			ours := find[Send](r.outs)
			for _, m := range rec.Messages {
				if m.Src != r.host || slices.Contains(r.same, m.Frame) {
					continue
				}
				if m.Exchange != "main" || m.Encrypted() || !firstTwo(t, m.IKE, ours) {
					t.Errorf("%s as %s: frame %d (%s) is not written as recorded", name, host, m.Frame, m.Exchange)
				}
			}
			if checked, differ := r.checkKeys(); checked != 2 || differ != 0 {
				t.Errorf("%s as %s: %d SAs with recorded SPIs, %d with other keys; want 2 and 0", name, host, checked, differ)
			}
			up := slices.ContainsFunc(find[PeerChanged](r.outs), func(o PeerChanged) bool { return o.State == PeerUp })
			if st := r.engine.Status(r.now)[0]; !up || st.State == PeerUp || len(st.SAs) != 0 {
				t.Errorf("%s as %s: was up: %v; ends %s with %d SAs, want the clean end of the recording", name, host, up, st.State, len(st.SAs))
			}
		}
	}
}

// firstTwo reports whether we wrote message 1 or 2 but for the first vendor id.
func firstTwo(t *testing.T, recorded []byte, ours []Send) bool {
	t.Helper()
	want, _, err := isakmp.ParsePayloads(isakmp.PayloadSA, recorded[isakmp.HeaderSize:])
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range ours {
		if !bytes.Equal(o.Payload[:isakmp.HeaderSize], recorded[:isakmp.HeaderSize]) {
			continue // header with cookies and length
		}
		got, _, err := isakmp.ParsePayloads(isakmp.PayloadSA, o.Payload[isakmp.HeaderSize:])
		if err != nil {
			t.Fatal(err)
		}
		return len(got) == len(want) && bytes.Equal(got[0].Raw, want[0].Raw) &&
			slices.EqualFunc(got[2:], want[2:], func(a, b isakmp.Payload) bool { return bytes.Equal(a.Raw, b.Raw) })
	}
	return false
}

// TestEndings: how the scenarios in which something goes wrong, is lost, deleted, renewed or watched end, in the place
// of each host (isakmpd-wire.md, 2 and 5 to 8).
func TestEndings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scenario, host string
		state          PeerState
		reason         string // words of the last or of any earlier reason or event
		same           []int  // frames that we wrote byte for byte, at least
	}{
		{"p1-mismatch", "192.0.2.1", PeerNegotiating, "the peer refuses what we offer in phase 1: 3des-cbc/sha1/modp1024", nil},
		{"p1-mismatch", "192.0.2.2", PeerDown, "encryption 3des-cbc, we want aes-cbc-128", nil},
		{"p1-life-mismatch", "192.0.2.1", PeerNegotiating, "lifetime 2h0m0s", nil},
		{"p1-life-too-long", "192.0.2.2", PeerDown, "lifetime 27h46m40s, we want 1m0s to 24h0m0s", nil},
		{"p2-mismatch", "192.0.2.1", PeerUp, "", []int{3, 5, 7, 9}},
		{"p2-mismatch", "192.0.2.2", PeerNegotiating, "cipher 3des, we want aes-128", []int{4, 6}},
		{"pfs-mismatch", "192.0.2.1", PeerUp, "", []int{3, 5, 7, 9}},
		{"pfs-mismatch", "192.0.2.2", PeerNegotiating, "PFS group none, we want modp1024", []int{4, 6}},
		{"wrong-psk", "192.0.2.1", PeerNegotiating, "probably the pre-shared keys differ", []int{3, 5, 7, 9, 11}},
		{"wrong-psk", "192.0.2.2", PeerNegotiating, "message 5 from 192.0.2.1:500 does not decrypt: the pre-shared keys differ", []int{4}},
		{"swan-initiator-wrong-psk", "192.0.2.1", PeerNegotiating, "message 5 from 192.0.2.2:500 does not decrypt", []int{4}},
		{"swan-responder-wrong-psk", "192.0.2.1", PeerNegotiating, "the pre-shared keys differ", []int{3, 5}},
		{"id-wrong", "192.0.2.2", PeerNegotiating, "the peer says it is 192.0.2.1, we want 192.0.2.77", []int{4}},
		{"wrong-proxy-id", "192.0.2.1", PeerNegotiating, "the peer refuses our proxy ids: local 10.99.0.1, remote 10.99.0.2", []int{3, 5}},
		{"wrong-proxy-id", "192.0.2.2", PeerNegotiating, "they say IDci 10.99.0.1, IDcr 10.99.0.2; we want IDci 10.99.0.1, IDcr 10.99.0.9", []int{4, 6, 8}},
		{"swan-initiator-wrong-proxy-id", "192.0.2.1", PeerDown, "they say IDci 10.99.0.2, IDcr 10.99.0.1", []int{4, 6, 8, 9}},
		{"swan-responder-wrong-proxy-id", "192.0.2.1", PeerDown, "the peer refuses our proxy ids", []int{3, 5}},
		{"swan-initiator-p1-mismatch", "192.0.2.1", PeerDown, "encryption aes-cbc-128, we want 3des-cbc", nil},
		{"swan-responder-p1-mismatch", "192.0.2.1", PeerNegotiating, "the peer refuses what we offer in phase 1", nil},
		{"swan-initiator-p2-mismatch", "192.0.2.1", PeerDown, "cipher aes-128, we want 3des", []int{4, 6}},
		{"swan-responder-p2-mismatch", "192.0.2.1", PeerDown, "the peer refuses what we offer in phase 2: 3des/hmac-sha1", []int{3, 5}},
		{"swan-initiator-many-proposals", "192.0.2.1", PeerDown, "", []int{4, 6}}, // 3DES, the last of the lists
		{"quick-mode-early", "192.0.2.1", PeerDown, "INVALID-ID-INFORMATION", []int{3, 5}},
		{"both-active", "192.0.2.2", PeerDown, "INVALID-ID-INFORMATION", []int{3, 5, 10}},
		{"message2-lost", "192.0.2.2", PeerDown, "", nil},
		{"retransmit-mm4", "192.0.2.2", PeerNegotiating, "", nil},
		{"retransmit-initiator", "192.0.2.1", PeerNegotiating, "", nil},
		{"rekey-phase1", "192.0.2.1", PeerDown, "", []int{3, 5, 7, 9, 12, 14}},
		{"rekey-phase1", "192.0.2.2", PeerDown, "", []int{4, 6, 8, 13, 15, 16}},
		{"rekey-phase2", "192.0.2.2", PeerDown, "", []int{4, 6, 8, 11, 15}},
		{"rekey-both", "192.0.2.1", PeerDown, "", []int{3, 5, 7, 9, 10, 12, 14, 16, 21, 23, 27, 29}},
		{"rekey-both", "192.0.2.2", PeerDown, "", []int{4, 6, 8, 11, 15, 22, 24, 28}},
		{"rekey-phase1-too-soon", "192.0.2.1", PeerUp, "", []int{3, 5, 7, 9, 11}},
		{"rekey-phase1-too-soon", "192.0.2.2", PeerUp, "", []int{4, 6, 8}},
		{"initiator-restart", "192.0.2.2", PeerDown, "", []int{4, 6, 8, 17, 19, 21}},
		{"reconnect-after-delete", "192.0.2.2", PeerDown, "", []int{4, 6, 8, 27, 29, 31}},
		{"responder-restart", "192.0.2.1", PeerDown, "the peer said INITIAL-CONTACT", []int{3, 5, 7, 9, 13, 15, 17, 19, 20}},
		{"swan-initiator-expiry", "192.0.2.1", PeerDown, "reached the end of its lifetime", []int{4, 6, 8, 10, 11}},
		{"dpd-dead-peer", "192.0.2.1", PeerNegotiating, "no answer to 8 questions", []int{3, 5, 7, 9, 10, 12, 14, 17, 18, 21, 22}},
		{"dpd-dead-peer", "192.0.2.2", PeerDown, "no answer to 8 questions", []int{4, 6, 8, 11, 13, 15, 16, 19, 20}},
		{"dynamic", "192.0.2.2", PeerDown, "", []int{4, 6, 8, 11}},
		{"aggressive", "192.0.2.2", PeerDown, "aggressive mode is not done here", nil},
		{"swan-initiator-aggressive", "192.0.2.1", PeerDown, "aggressive mode is not done here", nil},
	} {
		r := newReplay(t, recordings.Isakmpd(t, c.scenario)[0], c.host, nil)
		r.play()
		if st := r.engine.Status(r.now)[0]; st.State != c.state {
			t.Errorf("%s as %s ends %s: %s; want %s", c.scenario, c.host, st.State, st.Reason, c.state)
		}
		if !strings.Contains(r.summary(), c.reason) {
			t.Errorf("%s as %s never says %q:\n%s", c.scenario, c.host, c.reason, r.summary())
		}
		for _, frame := range c.same {
			if !slices.Contains(r.same, frame) {
				t.Errorf("%s as %s: frame %d is not written as recorded, but %v", c.scenario, c.host, frame, r.same)
			}
		}
	}
}

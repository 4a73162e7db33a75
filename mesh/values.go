package mesh

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wordPattern is what the names of the mesh, sites, suites and secrets are made of: they become
// parts of file names, link names and commands.
var wordPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,31}$`)

func parseName(s string) (string, error) {
	if !wordPattern.MatchString(s) {
		return "", complain("write a letter and up to 31 letters, digits, dots, dashes or underscores", "%q cannot be a name", clip(s))
	}
	return s, nil
}

// parseDevice reads the name of a network device: Linux allows 15 bytes.
func parseDevice(s string) (string, error) {
	if len(s) > 15 || !wordPattern.MatchString(s) {
		return "", complain("write at most 15 letters and digits, as in mr0", "%q cannot be the name of an interface", clip(s))
	}
	return s, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil && strings.Contains(s, "/"):
		return a, complain("write it without the length, as in 192.0.2.1", "%q is not an address", clip(s))
	case err != nil:
		return a, complain("write four numbers of 0 to 255, as in 192.0.2.1", "%q is not an IPv4 address", clip(s))
	case !a.Is4():
		return a, complain("write an IPv4 address", "%s is IPv6, which is not supported", s)
	}
	return a, nil
}

// parseHost reads the address of one host.
func parseHost(s string) (netip.Addr, error) {
	a, err := parseAddr(s)
	if err == nil && (a.IsUnspecified() || a.IsMulticast() || a.As4()[0] >= 240) {
		return a, complain("write the address of an interface, as in 192.0.2.1", "%s is not the address of one host", s)
	}
	return a, err
}

// parseNet reads a network: no bits behind the mask.
func parseNet(s string) (netip.Prefix, error) {
	p, err := parsePrefix(s)
	if err != nil {
		return p, err
	}
	if p != p.Masked() {
		return p, complain("write "+p.Masked().String(), "%s has bits behind the mask", p)
	}
	return p, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		fix := "write an IPv4 network with its length, as in 10.1.0.0/24"
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Is4() {
			fix = "write its length too, as in " + s + "/24"
		}
		return p, complain(fix, "%q is not an IPv4 network", clip(s))
	}
	return p, nil
}

// parseLAN is parseNet for a network that is announced.
func parseLAN(s string) (netip.Prefix, error) {
	p, err := parseNet(s)
	if err != nil {
		return p, err
	}
	switch a := p.Addr(); {
	case p.Bits() == 0:
		return p, complain("list the networks instead", "a default route through the mesh would swallow the tunnels themselves")
	case a.IsMulticast() || a.As4()[0] >= 240 || a.As4()[0] == 0:
		return p, complain("write a network of hosts, as in 10.1.0.0/24", "%s cannot be a LAN", p)
	}
	return p, nil
}

// An endAddress is the address of one end inside the tunnel, as written.
type endAddress struct {
	addr netip.Addr
	bits int // 0: not written, the profile decides
}

func parseEnd(s string) (endAddress, error) {
	if !strings.Contains(s, "/") {
		a, err := parseHost(s)
		return endAddress{addr: a}, err
	}
	p, err := parsePrefix(s)
	if err != nil {
		return endAddress{}, err
	}
	if _, err := parseHost(p.Addr().String()); err != nil {
		return endAddress{}, err
	}
	if p.Bits() < 30 {
		return endAddress{}, complain("write /30, or /32 for point-to-point addressing", "a tunnel has two ends, %s is larger", p)
	}
	return endAddress{p.Addr(), p.Bits()}, nil
}

// parseArea reads an area as a dotted quad or a number.
func parseArea(s string) (netip.Addr, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return quad(uint32(n)), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return a, complain("write it as 0.0.0.0 or 0", "%q is not an area", clip(s))
	}
	return a, nil
}

// quad is n written as an address.
func quad(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// number is an address as a number.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// parseInt reads a number from low to high.
func parseInt(low, high int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return 0, complain("write a number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high), "%q is out of range", clip(s))
		}
		return n, nil
	}
}

// parseGREKey reads 32 bits, decimal or hexadecimal; "none" is nil.
func parseGREKey(s string) (*uint32, error) {
	if s == "none" {
		return nil, nil
	}
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		return nil, complain("write a number from 0 to 4294967295, 0x in front for hexadecimal, or none", "%q is not a GRE key", clip(s))
	}
	key := uint32(n)
	return &key, nil
}

// parseSeconds reads whole seconds from low to high: 90s, 10m, 8h, 1h30m.
func parseSeconds(low, high time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		switch {
		case err != nil && digits(s):
			return 0, complain("write "+s+"s if it is seconds", "%q has no unit", clip(s))
		case err != nil:
			return 0, complain("write 90s, 10m or 8h", "%q is not a duration", clip(s))
		case d%time.Second != 0:
			return 0, complain("write whole seconds", "%s is not a whole number of seconds", s)
		case d < low || d > high:
			return 0, complain("write "+short(low)+" to "+short(high), "%s is out of range", s)
		}
		return d, nil
	}
}

// parseDelay reads a duration down to milliseconds.
func parseDelay(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Millisecond || d > time.Minute {
		return 0, complain("write 1ms to 1m, as in 50ms", "%q is not such a delay", clip(s))
	}
	return d, nil
}

// parseOff is seconds, or "off" for zero.
func parseOff(low, high time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		if s == "off" {
			return 0, nil
		}
		return parseSeconds(low, high)(s)
	}
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// short writes a duration without its zero parts: 1h instead of 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// A word is one of the values that a keyword stands for.
type word[T any] struct {
	text  string
	value T
}

// keyword reads one of a few words.
func keyword[T any](words ...word[T]) func(string) (T, error) {
	return func(s string) (T, error) {
		texts := make([]string, len(words))
		for i, w := range words {
			if w.text == s {
				return w.value, nil
			}
			texts[i] = w.text
		}
		var zero T
		return zero, complain(oneOf(s, texts), "%q is none of the possible values", clip(s))
	}
}

// parseMask reads the mask of Hello packets: "prefix" (nil), /0 to /32, or a mask in full.
func parseMask(s string) (*[4]byte, error) {
	if s == "prefix" {
		return nil, nil
	}
	if p, err := netip.ParsePrefix("255.255.255.255" + s); err == nil {
		m := p.Masked().Addr().As4()
		return &m, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		m := a.As4()
		if inverse := ^number(a); inverse&(inverse+1) == 0 {
			return &m, nil
		}
	}
	return nil, complain("write prefix (that of the tunnel), /30, /32 or 0.0.0.0", "%q is not a mask", clip(s))
}

// parseIdentity reads a phase 1 identity. Its form gives its type: an address, an address with a
// length (ID_IPV4_ADDR_SUBNET), user@name, else a name; fqdn: and user: in front force the type,
// for isakmpd sends `srcid "192.0.2.1/32"` as a name. "any" is the zero Identity.
func parseIdentity(s string) (Identity, error) {
	switch {
	case s == "any":
		return Identity{}, nil
	case strings.HasPrefix(s, "fqdn:"):
		return textIdentity(2, strings.TrimPrefix(s, "fqdn:"))
	case strings.HasPrefix(s, "user:"):
		return textIdentity(3, strings.TrimPrefix(s, "user:"))
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return addressIdentity(a), nil
	}
	if p, err := netip.ParsePrefix(s); err == nil && p.Addr().Is4() {
		mask := netip.PrefixFrom(quad(0xffffffff), p.Bits()).Masked().Addr()
		return Identity{4, append(p.Addr().AsSlice(), mask.AsSlice()...)}, nil
	}
	if strings.Contains(s, "@") {
		return textIdentity(3, s)
	}
	return textIdentity(2, s)
}

func addressIdentity(a netip.Addr) Identity { return Identity{1, a.AsSlice()} }

func textIdentity(kind uint8, s string) (Identity, error) {
	bad := func(r rune) bool { return r <= ' ' || r > '~' }
	if s == "" || len(s) > 255 || strings.ContainsFunc(s, bad) {
		return Identity{}, complain("write an address, a name or user@name", "%q cannot be an identity", clip(s))
	}
	return Identity{kind, []byte(s)}, nil
}

// String is the identity as the mesh file would have it; "any" for the zero value.
func (id Identity) String() string {
	switch {
	case id.Type == 0:
		return "any"
	case id.Type == 1 && len(id.Data) == 4:
		return netip.AddrFrom4([4]byte(id.Data)).String()
	case id.Type == 4 && len(id.Data) == 8:
		ones := 0
		for _, b := range id.Data[4:] {
			for ; b != 0; b <<= 1 {
				ones++
			}
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(id.Data[:4])), ones).String()
	}
	for _, prefix := range []string{"", "fqdn:", "user:"} {
		if back, err := parseIdentity(prefix + string(id.Data)); err == nil && back.Type == id.Type && string(back.Data) == string(id.Data) {
			return prefix + string(id.Data)
		}
	}
	return strconv.Itoa(int(id.Type)) + ":" + hex.EncodeToString(id.Data)
}

// The words of suites.
type cipherWord struct {
	text string
	ike  uint16 // RFC 2409, Appendix A; 0: not in phase 1
	esp  uint8  // RFC 2407, 4.4.4
	bits uint16
	aead bool
}

func cipherTable() []cipherWord {
	return []cipherWord{
		{"3des", 5, 3, 0, false},
		{"aes128", 7, 12, 128, false}, {"aes192", 7, 12, 192, false}, {"aes256", 7, 12, 256, false},
		{"aes128gcm16", 0, 20, 128, true}, {"aes192gcm16", 0, 20, 192, true}, {"aes256gcm16", 0, 20, 256, true},
	}
}

type hashWord struct {
	text string
	ike  uint16 // RFC 2409, Appendix A
	esp  uint16 // RFC 2407, 4.5
}

func hashTable() []hashWord {
	return []hashWord{{"sha1", 2, 2}, {"sha256", 4, 5}, {"sha384", 5, 6}, {"sha512", 6, 7}}
}

func groupTable() []word[uint16] {
	return []word[uint16]{{"modp1024", 2}, {"modp1536", 5}, {"modp2048", 14}, {"modp3072", 15}, {"modp4096", 16}}
}

// parseIKE reads a phase 1 transform: cipher-hash-group.
func parseIKE(s string) (t IKETransform, err error) {
	const form = "write cipher-hash-group, as in 3des-sha1-modp1024 or aes256-sha256-modp2048"
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return t, complain(form, "%q is not a phase 1 transform", clip(s))
	}
	c, err := cipherNamed(parts[0], true)
	if err != nil {
		return t, err
	}
	h, err := hashNamed(parts[1])
	if err != nil {
		return t, err
	}
	g, err := keyword(groupTable()...)(parts[2])
	return IKETransform{c.ike, c.bits, h.ike, g}, err
}

// parseESP reads a phase 2 transform: cipher-hash, or a cipher that needs no hash.
func parseESP(s string) (t ESPTransform, err error) {
	name, hash, both := strings.Cut(s, "-")
	c, err := cipherNamed(name, false)
	switch {
	case err != nil:
		return t, err
	case c.aead && both:
		return t, complain("write "+name, "%s authenticates by itself", name)
	case c.aead:
		return ESPTransform{c.esp, c.bits, 0}, nil
	case !both:
		return t, complain("write "+name+"-sha1 or "+name+"-sha256", "%s alone does not authenticate", name)
	}
	h, err := hashNamed(hash)
	return ESPTransform{c.esp, c.bits, h.esp}, err
}

func cipherNamed(s string, phase1 bool) (cipherWord, error) {
	var texts []string
	for _, c := range cipherTable() {
		if phase1 && c.aead {
			continue
		}
		if c.text == s {
			return c, nil
		}
		texts = append(texts, c.text)
	}
	switch s {
	case "null", "des":
		return cipherWord{}, complain("write 3des or aes128", "%s does not protect anything", s)
	case "aes":
		return cipherWord{}, complain("write aes128, aes192 or aes256", "aes needs its key length")
	}
	return cipherWord{}, complain(oneOf(s, texts), "%q is not a cipher of this phase", clip(s))
}

func hashNamed(s string) (hashWord, error) {
	var texts []string
	for _, h := range hashTable() {
		if h.text == s {
			return h, nil
		}
		texts = append(texts, h.text)
	}
	if s == "md5" {
		return hashWord{}, complain("write sha1 or sha256", "md5 is not offered")
	}
	return hashWord{}, complain(oneOf(s, texts), "%q is not a hash", clip(s))
}

// String is the transform as in the mesh file: "3des-sha1-modp1024".
func (t IKETransform) String() string {
	c := slices.IndexFunc(cipherTable(), func(c cipherWord) bool { return c.ike == t.Encryption && c.bits == t.KeyLength })
	h := slices.IndexFunc(hashTable(), func(h hashWord) bool { return h.ike == t.Hash })
	if c < 0 || h < 0 {
		return "unknown"
	}
	return cipherTable()[c].text + "-" + hashTable()[h].text + "-" + GroupName(t.Group)
}

// String is the transform as in the mesh file: "3des-sha1", "aes128gcm16".
func (t ESPTransform) String() string {
	c := slices.IndexFunc(cipherTable(), func(c cipherWord) bool { return c.esp == t.ID && c.bits == t.KeyLength })
	if c < 0 {
		return "unknown"
	}
	h := slices.IndexFunc(hashTable(), func(h hashWord) bool { return h.esp == t.Auth })
	if h < 0 {
		return cipherTable()[c].text
	}
	return cipherTable()[c].text + "-" + hashTable()[h].text
}

// GroupName is the word for a Diffie-Hellman group: "modp1024"; "none" for 0.
func GroupName(g uint16) string {
	for _, w := range groupTable() {
		if w.value == g {
			return w.text
		}
	}
	if g == 0 {
		return "none"
	}
	return "group " + strconv.Itoa(int(g))
}

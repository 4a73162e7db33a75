package ike

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"meshrouter/ike/isakmp"
)

// A Difference is one row of the table that is shown when an offer fits nothing that we allow.
type Difference struct {
	What   string // "transform 1", "IDci"
	Theirs string // all of it, attribute by attribute
	Ours   string // where it differs: "encryption aes-cbc-128, we want 3des-cbc"
}

// mismatch is the failure of an offer: what they offered, what we allow, and the place to change.
func (c *PeerConfig) mismatch(phase, ours string, refused refusedRows) *failure {
	texts := make([]string, 0, maxRows+1)
	for _, r := range refused.rows {
		texts = append(texts, fmt.Sprintf("%s: %s (%s)", r.What, r.Theirs, r.Ours))
	}
	if refused.more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", refused.more))
	}
	f := trouble(EventNoProposalChosen, "%s: nothing that the peer offers is allowed here. They offer %s. We allow %s%s",
		phase, strings.Join(texts, "; "), ours, c.change(changeSuite))
	f.notify, f.rows = notifyNoProposal, refused.rows
	return f
}

// change says what to change and where.
func (c *PeerConfig) change(what string) string {
	where := c.Source
	switch what {
	case changeSuite:
		where = cmp.Or(c.SuiteSource, where)
	case changePSK:
		where = cmp.Or(c.PSKSource, where)
	}
	if where == "" {
		return "; change " + what + ", or the peer's"
	}
	return fmt.Sprintf("; change %s at %s, or the peer's", what, where)
}

// What change knows the places of.
const (
	changeSuite = "suite"
	changePSK   = "the pre-shared key (psk)"
)

// refusal explains an error notification of the peer by what we sent.
func (c *PeerConfig) refusal(n isakmp.NotifyType, phase2 bool, nat natState) string {
	switch {
	case n == isakmp.NoProposalChosen && phase2, n == isakmp.AttributesNotSupported && phase2, n == isakmp.InvalidTransformID && phase2:
		return fmt.Sprintf("the peer refuses what we offer in phase 2: %s%s", phase2List(c, nat), c.change(changeSuite))
	case n == isakmp.NoProposalChosen, n == isakmp.AttributesNotSupported, n == isakmp.InvalidTransformID:
		return fmt.Sprintf("the peer refuses what we offer in phase 1: %s, lifetime %s%s", phase1List(c.Phase1), c.Phase1Lifetime, c.change(changeSuite))
	case n == isakmp.InvalidIDInformation && phase2:
		return fmt.Sprintf("the peer refuses our proxy ids: local %s, remote %s%s", c.LocalTS, c.RemoteTS, c.change("proxy ids"))
	default:
		return "the peer refuses"
	}
}

// String is the selector for people: "192.0.2.1", "192.0.2.1/32", "10.1.0.0/16 proto 47".
func (t Selector) String() string { return t.id().String() }

// maxRows is how many transforms of an offer are explained. Anybody can send an offer of hundreds, so further ones
// must not cost us the text.
const maxRows = 8

// refusedRows are the transforms of an offer that are not allowed.
type refusedRows struct {
	rows []Difference
	more int // without a row
}

func (r *refusedRows) full() bool { return len(r.rows) == maxRows }

func (r *refusedRows) add(row func() Difference) {
	if r.full() {
		r.more++
		return
	}
	r.rows = append(r.rows, row())
}

// A differ collects how an offer differs; a quiet one only counts.
type differ struct {
	quiet bool
	count int
	texts []string
}

// compare takes two values of the same registry.
func (d *differ) compare(attribute string, theirs, ours fmt.Stringer) {
	if theirs != ours {
		d.add("%s %s, we want %s", attribute, theirs, ours)
	}
}

func (d *differ) add(format string, args ...any) {
	d.count++
	if !d.quiet {
		d.texts = append(d.texts, fmt.Sprintf(format, args...))
	}
}

func (d *differ) unknown(as []isakmp.Attribute) {
	for _, a := range as {
		d.add("attribute %s is unknown to us", a)
	}
}

// row is the transform with that number.
func (d *differ) row(number uint8, theirs string) Difference {
	return Difference{fmt.Sprintf("transform %d", number), theirs, strings.Join(d.texts, ", ")}
}

// A sized is a cipher with its key length in bits.
type sized struct {
	name fmt.Stringer
	bits uint16
}

func (s sized) String() string { return withBits(s.name.String(), s.bits) }

// unreadable is the row of a transform that is stepped over because it makes no sense.
func unreadable(t isakmp.Transform, err error) Difference {
	why := fmt.Sprintf("transform id %d is unknown", t.ID)
	if err != nil {
		why = err.Error()
	}
	return Difference{fmt.Sprintf("transform %d", t.Number), attributesText(t), why}
}

func attributesText(t isakmp.Transform) string {
	texts := make([]string, 0, len(t.Attributes))
	for _, a := range t.Attributes {
		texts = append(texts, a.String())
	}
	return fmt.Sprintf("id %d, attributes %s", t.ID, strings.Join(texts, " "))
}

func phase1Text(o isakmp.Phase1Offer) string {
	return fmt.Sprintf("encryption %s, hash %s, authentication %s, group %s, lifetime %s",
		withBits(o.Encryption.String(), o.KeyLength), o.Hash, o.Auth, o.Group, lifeText(o.Life))
}

func phase2Text(o isakmp.Phase2Offer) string {
	return fmt.Sprintf("cipher %s, authentication %s, PFS group %s, encapsulation %s, lifetime %s",
		withBits(o.Transform.String(), o.KeyLength), o.Auth, o.Group, o.Encapsulation, lifeText(o.Life))
}

func lifeText(l isakmp.Lifetime) string {
	s := "not given"
	if l.Seconds != 0 {
		s = (time.Duration(l.Seconds) * time.Second).String()
	}
	if l.Kilobytes != 0 {
		s += fmt.Sprintf(" and %d KB", l.Kilobytes)
	}
	return s
}

func phase1List(ts []Phase1Transform) string {
	texts := make([]string, 0, len(ts))
	for _, t := range ts {
		texts = append(texts, t.String())
	}
	return strings.Join(texts, ", ")
}

func phase2List(c *PeerConfig, nat natState) string {
	texts := make([]string, 0, len(c.Phase2))
	for _, t := range c.Phase2 {
		texts = append(texts, t.String())
	}
	return fmt.Sprintf("%s with PFS group %s, encapsulation %s", strings.Join(texts, ", "), c.PFS, nat.encapsulation(c.Mode))
}

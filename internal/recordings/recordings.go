// Package recordings loads the recorded IKEv1 sessions under testdata/, with every secret that opens them.
//
//	testdata/isakmpd/NAME.json        Recording   OpenBSD's isakmpd with itself or with strongSwan
//	testdata/captures/ike/NAME.json   Session     strongSwan with itself, and the ESP that followed
//
// The field names are those of the files, whose README says what each holds; Hex fields are bytes here. Only
// tests import this package: those of the codec and the keys check every byte, those of the engine replay.
package recordings

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meshrouter/internal/testvectors"
)

// Hex is a byte string or a big number that the files write as hex digits; null and "" are empty.
type Hex []byte

// UnmarshalText decodes hex digits. A number may lack its leading zero.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	if len(text)%2 != 0 {
		text = append([]byte("0"), text...)
	}
	*h, err = hex.DecodeString(string(text))
	return err
}

// A Recording is one session with isakmpd.
type Recording struct {
	Scenario    string            `json:"scenario"`
	Description string            `json:"description"`
	Hosts       map[string]string `json:"hosts"`        // address: implementation
	PSK         Strings           `json:"psk"`          // two where the sides differ on purpose
	IPsecConf   map[string]string `json:"ipsec.conf"`   // address: configuration
	Swanctl     string            `json:"swanctl.conf"` // the strongSwan side, where there is one
	Phase1      []Phase1          `json:"phase1"`       // the ISAKMP SAs
	Phase2      []Phase2          `json:"phase2"`       // the quick modes
	KernelCalls map[string]Calls  `json:"sad_and_flow_calls"`
	Messages    []Message         `json:"messages"`
}

// Calls are what isakmpd asked of its kernel, in order.
type Calls []string

// Strings is one string or a list of them.
type Strings []string

// UnmarshalJSON accepts both forms.
func (s *Strings) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = Strings{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(s))
}

// Phase1 is one ISAKMP SA.
type Phase1 struct {
	InitiatorCookie Hex `json:"initiator_cookie"`
	ResponderCookie Hex `json:"responder_cookie"`
	PublicI         Hex `json:"g_xi"`
	PublicR         Hex `json:"g_xr"`
	PrivateI        Hex `json:"x_i"` // empty: strongSwan's, not known
	PrivateR        Hex `json:"x_r"`
	Shared          Hex `json:"g_xy"`
	NonceI          Hex `json:"nonce_i"`
	NonceR          Hex `json:"nonce_r"`
	Secrets
	PerSide map[string]Secrets `json:"per_side"`                   // by address, where the pre-shared keys differ
	PSK     map[string]string  `json:"skeyid_recomputed_with_psk"` // by address
}

// Secrets are the keys of an ISAKMP SA.
type Secrets struct {
	SKEYID        Hex `json:"skeyid"`
	SKEYIDd       Hex `json:"skeyid_d"`
	SKEYIDa       Hex `json:"skeyid_a"`
	SKEYIDe       Hex `json:"skeyid_e"`
	EncryptionKey Hex `json:"encryption_key"`
	IV            Hex `json:"iv"` // of the first encrypted message
}

// Of returns the secrets as the end with that address computed them.
func (p Phase1) Of(address string) Secrets {
	if s, ok := p.PerSide[address]; ok {
		return s
	}
	return p.Secrets
}

// Phase2 is one quick mode.
type Phase2 struct {
	InitiatorCookie Hex `json:"initiator_cookie"`
	ResponderCookie Hex `json:"responder_cookie"`
	MessageID       Hex `json:"message_id"`
	NonceI          Hex `json:"nonce_i"`
	NonceR          Hex `json:"nonce_r"`
	PublicI         Hex `json:"g_xi"` // with PFS only
	PublicR         Hex `json:"g_xr"`
	PrivateI        Hex `json:"x_i"`
	PrivateR        Hex `json:"x_r"`
	Shared          Hex `json:"g_xy"`
	SAs             []struct {
		SPI               Hex    `json:"spi"`
		Receiver          string `json:"receiver"` // address of who gets ESP with it
		KEYMAT            Hex    `json:"keymat"`
		EncryptionKey     Hex    `json:"encryption_key"`
		AuthenticationKey Hex    `json:"authentication_key"`
	} `json:"sas"`
}

// A Message is one datagram.
type Message struct {
	Frame            int        `json:"frame"`
	Seconds          float64    `json:"time"`
	Src              netip.Addr `json:"src"`
	Dst              netip.Addr `json:"dst"`
	SrcPort          uint16     `json:"sport"`
	DstPort          uint16     `json:"dport"`
	NonESPMarker     bool       `json:"non_esp_marker"` // stood before IKE
	InitiatorCookie  Hex        `json:"initiator_cookie"`
	ResponderCookie  Hex        `json:"responder_cookie"`
	Version          uint8      `json:"version"`
	Exchange         string     `json:"exchange"` // "main", "aggressive", "quick", "informational"
	Flags            uint8      `json:"flags"`
	MessageID        Hex        `json:"message_id"`
	Length           uint32     `json:"length"`
	IKE              Hex        `json:"ike"` // the whole ISAKMP message
	Payloads         []Payload  `json:"payloads"`
	IV               Hex        `json:"iv"`        // the rest: encrypted messages only
	Plaintext        Hex        `json:"plaintext"` // with padding
	Padding          Hex        `json:"padding"`
	HashOK           *bool      `json:"hash_ok"`           // nil: not checked, nobody could
	RetransmissionOf int        `json:"retransmission_of"` // frame; 0: none
}

// Time is when the message was sent, since the start of the recording.
func (m Message) Time() time.Duration { return time.Duration(m.Seconds * float64(time.Second)) }

// From is the sender.
func (m Message) From() netip.AddrPort { return netip.AddrPortFrom(m.Src, m.SrcPort) }

// To is the receiver.
func (m Message) To() netip.AddrPort { return netip.AddrPortFrom(m.Dst, m.DstPort) }

// Encrypted reports whether the header's encryption flag is set.
func (m Message) Encrypted() bool { return m.Flags&1 != 0 }

// A Payload is one payload as another program dissected it. Which fields are set depends on Type.
type Payload struct {
	Type   string `json:"payload"` // "SA", "VID", "KE", "NONCE", "NAT-D", "ID", "HASH", "N", "D"
	Length int    `json:"length"`  // with the generic header

	DOI       uint32     `json:"doi"`       // SA, N, D
	Situation uint32     `json:"situation"` // SA
	Proposals []Proposal `json:"proposals"` // SA
	VID       Hex        `json:"vid"`
	Name      string     `json:"name"`     // VID, N
	Data      Hex        `json:"data"`     // KE, NONCE, NAT-D, ID, HASH, N
	IDType    uint8      `json:"id_type"`  // ID
	Protocol  uint8      `json:"protocol"` // ID, N, D
	Port      uint16     `json:"port"`     // ID
	Text      string     `json:"text"`     // ID
	SPI       Hex        `json:"spi"`      // N
	Notify    uint16     `json:"type"`     // N
	SPIs      []Hex      `json:"spis"`     // D
}

// A Proposal of an SA payload.
type Proposal struct {
	Number     uint8 `json:"number"`
	Protocol   uint8 `json:"protocol"`
	SPI        Hex   `json:"spi"`
	Transforms []struct {
		Number     uint8 `json:"number"`
		ID         uint8 `json:"id"`
		Attributes []struct {
			Type  uint16 `json:"type"`
			Form  string `json:"form"` // "basic" or "variable"
			Value uint64 `json:"value"`
		} `json:"attributes"`
	} `json:"transforms"`
}

// A Session is a recording of strongSwan at both ends.
type Session struct {
	Name            string `json:"name"`
	Description     string `json:"description"`
	Initiator       string `json:"initiator"` // address
	Responder       string `json:"responder"`
	PSK             string `json:"psk"`
	InitiatorValues Values `json:"initiator_values"`
	ResponderValues Values `json:"responder_values"`
	Packets         []struct {
		Src  string `json:"src"`
		Port uint16 `json:"port"`
		Kind string `json:"kind"` // "ike" or "esp"
		Data Hex    `json:"hex"`
	} `json:"packets"`
}

// Values are what one end computed, in order, with labels.
type Values []struct {
	Label string `json:"label"`
	Data  Hex    `json:"hex"`
}

// All returns the values with that label, in order.
func (v Values) All(label string) [][]byte {
	var all [][]byte
	for _, x := range v {
		if x.Label == label {
			all = append(all, x.Data)
		}
	}
	return all
}

// First is the first value with that label; nil if there is none.
func (v Values) First(label string) []byte {
	if all := v.All(label); len(all) > 0 {
		return all[0]
	}
	return nil
}

// Isakmpd loads the recordings with isakmpd of those names, "main-quick"; without names all of them, in
// alphabetical order.
func Isakmpd(tb testing.TB, names ...string) []*Recording {
	tb.Helper()
	return load[Recording](tb, "isakmpd", "*", names)
}

// StrongSwan loads strongSwan's IKEv1 sessions in the same way.
func StrongSwan(tb testing.TB, names ...string) []*Session {
	tb.Helper()
	return load[Session](tb, "captures/ike", "v1-*", names)
}

func load[T any](tb testing.TB, directory, pattern string, names []string) []*T {
	tb.Helper()
	if len(names) == 0 {
		files, err := filepath.Glob(filepath.Join(testvectors.Data(tb, directory), pattern+".json"))
		if err != nil || len(files) == 0 {
			tb.Fatalf("recordings: nothing under testdata/%s: %v", directory, err)
		}
		slices.Sort(files)
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
		}
	}
	all := make([]*T, 0, len(names))
	for _, name := range names {
		x := new(T)
		file := testvectors.Data(tb, directory+"/"+name+".json")
		if err := json.Unmarshal(testvectors.Read(tb, file), x); err != nil {
			tb.Fatalf("recordings: %s: %v", name, err)
		}
		all = append(all, x)
	}
	return all
}

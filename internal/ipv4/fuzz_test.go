package ipv4

import (
	"bytes"
	"testing"
	"time"
)

// FuzzParse feeds every function that takes a packet, and checks that what Parse returns, put
// together, is what it was given.
func FuzzParse(f *testing.F) {
	f.Add(packet(udpFields(1), 20))
	f.Add(fragment(1, 8, 16, true, 'a'))
	f.Add([]byte("\x45\x00\x00\x2c\x00\x00\x00\x00\x40\x06\x00\x00\xc0\x00\x02\x01\xc0\x00\x02\x02" +
		"\x03\xe8\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00\x60\x02\x03\xe8\x00\x00\x00\x00\x02\x04\x05\xb4"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := Parse(b)
		if err == nil {
			if got := append(bytes.Clone(h), payload...); !bytes.Equal(got, b[:h.TotalLen()]) {
				t.Errorf("header and payload are %x, want %x", got, b[:h.TotalLen()])
			}
			right := bytes.Clone(h)
			Header(right).UpdateChecksum()
			if !Header(right).ChecksumOK() {
				t.Errorf("UpdateChecksum of %x is not right", right)
			}
		}
		FlowHash(b)
		ICMPFragNeeded(nil, b, hostB, 1400)
		EchoReply(bytes.Clone(b))
		ClampMSS(bytes.Clone(b), 1300)
	})
}

// FuzzFragment checks that what Fragment cuts the Reassembler puts together.
func FuzzFragment(f *testing.F) {
	f.Add(packet(udpFields(1), 2000), uint16(100))
	f.Add(packet(udpFields(1), 50), uint16(28))
	f.Fuzz(func(t *testing.T, b []byte, mtu uint16) {
		h, _, err := Parse(b)
		if err != nil || h.IsFragment() {
			return
		}
		r := NewReassembler(1<<20, timeout)
		var got []byte
		if err := Fragment(b, int(mtu), func(p []byte) {
			if len(p) > int(mtu) {
				t.Fatalf("fragment of %d bytes for MTU %d", len(p), mtu)
			}
			if whole, ok := r.Add(t0, p); ok {
				got = whole
			}
		}); err != nil {
			return
		}
		want := bytes.Clone(b[:h.TotalLen()])
		if h.TotalLen() > int(mtu) { // the reserved flag is not kept, and the checksum is made right
			want[6] = 0
			Header(want[:len(h)]).UpdateChecksum()
		}
		if !bytes.Equal(got, want) {
			t.Errorf("reassembled %x, want %x", got, want)
		}
	})
}

// FuzzReassembler cuts its input into packets: whatever they are, memory stays bounded and a whole
// packet is well-formed.
func FuzzReassembler(f *testing.F) {
	f.Add(append(fragment(1, 0, 8, true, 'a'), fragment(1, 8, 8, false, 'b')...), uint8(28))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		r := NewReassembler(4096, timeout)
		now := t0
		for len(b) > 0 {
			n := min(int(size)+1, len(b))
			if whole, ok := r.Add(now, b[:n]); ok {
				if h, _, err := Parse(whole); err != nil || h.IsFragment() {
					t.Fatalf("whole packet %x: %v", whole, err)
				}
			}
			if r.Held() > 4096 || r.Held() < 0 {
				t.Fatalf("holds %d bytes", r.Held())
			}
			b, now = b[n:], now.Add(time.Second)
		}
		r.Add(now.Add(timeout), nil)
		if r.Held() != 0 {
			t.Fatalf("holds %d bytes after the timeout", r.Held())
		}
	})
}

package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

func Example() {
	r := NewReader("Hello", []byte{255, 255, 255, 0, 0, 10, 2})
	fmt.Println(r.Addr("NetworkMask"), r.Uint16("HelloInterval"), r.Uint8("Options"), r.Uint32("RouterDeadInterval"))
	fmt.Println(r.Err())
	// Output:
	// 255.255.255.0 10 2 0
	// Hello: RouterDeadInterval at offset 7: need 4 bytes, have 0
}

// Each read takes what Append of encoding/binary has written.
func TestReadEachWidth(t *testing.T) {
	t.Parallel()
	b := []byte{0x01}
	b = binary.BigEndian.AppendUint16(b, 0x0203)
	b = append(b, 4, 5, 6)
	b = binary.BigEndian.AppendUint32(b, 0x0708090a)
	b = binary.BigEndian.AppendUint64(b, 0x0b0c0d0e0f101112)
	b = append(b, 192, 0, 2, 1, 'x', 'y', 'z')
	r := NewReader("all", b)
	if r.Uint8("a") != 1 || r.Uint16("b") != 0x0203 || r.Uint24("c") != 0x040506 || r.Uint32("d") != 0x0708090a ||
		r.Uint64("e") != 0x0b0c0d0e0f101112 || r.Addr("f") != netip.MustParseAddr("192.0.2.1") {
		t.Error("a value is wrong")
	}
	if r.Offset() != 22 || r.Len() != 3 || !r.More() {
		t.Errorf("offset %d, %d left", r.Offset(), r.Len())
	}
	if got := string(r.Bytes("g", 1)) + string(r.Rest()); got != "xyz" || r.More() || r.Len() != 0 || r.Err() != nil {
		t.Errorf("the rest is %q, error %v", got, r.Err())
	}
}

// After the first failure everything is zero, nothing moves, and the first failure is what Err says.
func TestFirstFailureStays(t *testing.T) {
	t.Parallel()
	r := NewReader("message", []byte{1, 2, 3})
	r.Uint16("first")
	if v := r.Uint32("second"); v != 0 {
		t.Errorf("second is %d", v)
	}
	if r.Uint8("third") != 0 || r.Uint16("third") != 0 || r.Uint24("third") != 0 || r.Uint64("third") != 0 ||
		r.Addr("third").IsValid() || r.Bytes("third", 1) != nil || r.Rest() != nil || r.More() {
		t.Error("something was read after the failure")
	}
	r.Fail("fourth", "is %d", 4)
	want := ParseError{"message", "second", 2, "need 4 bytes, have 1"}
	got, ok := errors.AsType[*ParseError](r.Err())
	if !ok || *got != want {
		t.Errorf("error %v, want %v", r.Err(), &want)
	}
	if r.Offset() != 2 {
		t.Errorf("offset %d, want 2", r.Offset())
	}
}

func TestLengthsFromTheWire(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 4, int(^uint(0) >> 1), -int(^uint(0)>>1) - 1} {
		r := NewReader("message", []byte{1, 2, 3})
		if b := r.Bytes("field", n); b != nil || r.Err() == nil {
			t.Errorf("Bytes(%d) = % x, %v", n, b, r.Err())
		}
	}
}

// What Bytes returns has no room behind it: who appends to it does not change the message.
func TestBytesHaveNoRoom(t *testing.T) {
	t.Parallel()
	message := []byte{1, 2, 3}
	_ = append(NewReader("message", message).Bytes("field", 1), 9)
	if !bytes.Equal(message, []byte{1, 2, 3}) {
		t.Errorf("the message is now % x", message)
	}
}

func TestZeroReader(t *testing.T) {
	t.Parallel()
	var r Reader
	if r.More() || r.Len() != 0 || r.Err() != nil || len(r.Rest()) != 0 {
		t.Error("the zero Reader is not empty")
	}
	if r.Uint8("field") != 0 || r.Err() == nil {
		t.Error("a byte came out of nothing")
	}
}

// FuzzReader reads a message by a script of widths. What was read, written again, is the message as
// far as it was read; Offset, Len and Err agree with that.
func FuzzReader(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 8, 0, 5}, []byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Add([]byte{4, 4}, []byte{1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, script, message []byte) {
		r := NewReader("message", message)
		var again []byte
		for _, step := range script {
			before, failed := r.Offset(), r.Err() != nil
			var piece []byte
			switch n := int(step % 16); n {
			case 1:
				piece = append(piece, r.Uint8("field"))
			case 2:
				piece = binary.BigEndian.AppendUint16(nil, r.Uint16("field"))
			case 3:
				piece = binary.BigEndian.AppendUint32(nil, r.Uint24("field"))[1:]
			case 4:
				piece = binary.BigEndian.AppendUint32(nil, r.Uint32("field"))
			case 5:
				if a := r.Addr("field"); a.IsValid() {
					piece = a.AsSlice()
				}
			case 8:
				piece = binary.BigEndian.AppendUint64(nil, r.Uint64("field"))
			case 15:
				piece = r.Rest()
			default:
				piece = r.Bytes("field", n)
			}
			if r.Err() != nil {
				if r.Offset() != before {
					t.Fatalf("a failure moved from %d to %d", before, r.Offset())
				}
				continue
			}
			if failed {
				t.Fatal("a failure was forgotten")
			}
			again = append(again, piece...)
		}
		if !bytes.Equal(again, message[:r.Offset()]) || r.Offset()+r.Len() != len(message) {
			t.Errorf("read % x of % x; offset %d, %d left", again, message, r.Offset(), r.Len())
		}
		if r.More() != (r.Err() == nil && r.Len() > 0) {
			t.Errorf("More is %t with %d left, error %v", r.More(), r.Len(), r.Err())
		}
	})
}

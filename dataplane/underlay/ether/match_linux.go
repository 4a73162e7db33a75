package ether

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf/asm"

	"meshrouter/internal/ipv4"
)

// Pass is the label where the instructions of Match go with frames that are not for a path.
const Pass = "pass"

// Offsets in an Ethernet frame with IPv4.
const (
	atEtherType = 12
	atVersion   = ethernetLen
	atTOS       = ethernetLen + 1
	atTotalLen  = ethernetLen + 2
	atFragment  = ethernetLen + 6
	atProtocol  = ethernetLen + 9
	atDst       = ethernetLen + 16
)

// notPlain is set in the fragment field of all but whole packets; DF is no matter.
const notPlain = 0xbfff

// Context is where a program's context (R1) has the 32-bit pointers to a frame's begin and end.
type Context struct{ Data, End int16 }

// Match are the instructions that fall through for a frame with a whole ESP packet to local without
// options, of at most largest bytes with its IPv4 header and below the control class, and jump to Pass with any
// other. They change R2 to R5.
func Match(c Context, local netip.Addr, largest int) asm.Instructions {
	dst := local.As4()
	word := func(b ...byte) int32 { return int32(binary.NativeEndian.Uint16(b)) }
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, c.Data, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, c.End, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, HeaderLen),
		asm.JGT.Reg(asm.R4, asm.R3, Pass),

		asm.LoadMem(asm.R5, asm.R2, atEtherType, asm.Half),
		asm.JNE.Imm(asm.R5, word(etherTypeIPv4>>8, etherTypeIPv4&0xff), Pass),
		asm.LoadMem(asm.R5, asm.R2, atVersion, asm.Byte),
		asm.JNE.Imm(asm.R5, 4<<4|ipv4.HeaderLen/4, Pass),
		asm.LoadMem(asm.R5, asm.R2, atTOS, asm.Byte),
		asm.JGE.Imm(asm.R5, TOSControl, Pass),
		asm.LoadMem(asm.R5, asm.R2, atFragment, asm.Half),
		asm.And.Imm(asm.R5, word(notPlain>>8, notPlain&0xff)),
		asm.JNE.Imm(asm.R5, 0, Pass),
		asm.LoadMem(asm.R5, asm.R2, atProtocol, asm.Byte),
		asm.JNE.Imm(asm.R5, ipv4.ProtocolESP, Pass),
		asm.LoadMem(asm.R5, asm.R2, atDst, asm.Word),
		asm.LoadImm(asm.R4, int64(binary.NativeEndian.Uint32(dst[:])), asm.DWord),
		asm.JNE.Reg(asm.R5, asm.R4, Pass),

		// The whole packet is here, in front of whatever padding: a receiver's frame holds it.
		asm.LoadMem(asm.R5, asm.R2, atTotalLen, asm.Half),
		asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.JGT.Imm(asm.R5, int32(largest), Pass),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Reg(asm.R4, asm.R5),
		asm.Add.Imm(asm.R4, ethernetLen),
		asm.JGT.Reg(asm.R4, asm.R3, Pass),
	}
}

package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/underlay/ether"
	"meshrouter/internal/ipv4"
)

// What programs return: a socket filter how much of the packet it wants, a tcx program what becomes of it.
const (
	filterNone = 0
	filterAll  = 1 << 18
	tcxNext    = -1
	tcxDrop    = 2
)

// Offsets in struct __sk_buff.
const (
	atLen         = 0
	atPktType     = 4
	atVLANPresent = 20
)

// miss is the label where packets go that are not ours.
const miss = "miss"

// instructions return hit for a frame of at most largest bytes, to this host, with a whole ESP packet
// to local without options and below the control class, and other for any else. They read frames by
// LD_ABS, which works wherever in the kernel's memory the header lies; what it cannot read is not ours.
func instructions(local netip.Addr, largest int, hit, other int32) asm.Instructions {
	dst := local.As4()
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R0, asm.R6, atLen, asm.Word),
		asm.JGT.Imm(asm.R0, int32(largest), miss), //nolint:gosec // G115: at most 64 KiB
		asm.JLT.Imm(asm.R0, ether.HeaderLen, miss),
		asm.LoadMem(asm.R0, asm.R6, atPktType, asm.Word),
		asm.JNE.Imm(asm.R0, unix.PACKET_HOST, miss),
		asm.LoadMem(asm.R0, asm.R6, atVLANPresent, asm.Word),
		asm.JNE.Imm(asm.R0, 0, miss),
		asm.LoadAbs(ether.EthernetLen-2, asm.Half),
		asm.JNE.Imm(asm.R0, unix.ETH_P_IP, miss),
		asm.LoadAbs(ether.EthernetLen, asm.Byte),
		asm.JNE.Imm(asm.R0, 4<<4|ipv4.HeaderLen/4, miss),
		asm.LoadAbs(ether.EthernetLen+1, asm.Byte),
		asm.JGE.Imm(asm.R0, ether.TOSControl, miss),
		asm.LoadAbs(ether.EthernetLen+6, asm.Half), // but for DF, set in all that is not a whole packet
		asm.And.Imm(asm.R0, 0xbfff),
		asm.JNE.Imm(asm.R0, 0, miss),
		asm.LoadAbs(ether.EthernetLen+9, asm.Byte),
		asm.JNE.Imm(asm.R0, ipv4.ProtocolESP, miss),
		asm.LoadAbs(ether.EthernetLen+16, asm.Word),
		asm.LoadImm(asm.R1, int64(binary.BigEndian.Uint32(dst[:])), asm.DWord),
		asm.JNE.Reg(asm.R0, asm.R1, miss),
		asm.Mov.Imm(asm.R0, hit),
		asm.Return(),
		asm.Mov.Imm(asm.R0, other).WithSymbol(miss),
		asm.Return(),
	}
}

// load loads a program of either type.
func load(name string, kind ebpf.ProgramType, attach ebpf.AttachType, is asm.Instructions) (*ebpf.Program, error) {
	// Kernels before 5.11 count programs against the limit on locked memory.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("ring: limit on locked memory: %w", err)
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: kind, AttachType: attach, License: "Dual MIT/GPL", Instructions: is})
	if err != nil {
		return nil, fmt.Errorf("ring: program %s: %w", name, err)
	}
	return p, nil
}

// setFilter makes the socket take only what is ours.
func setFilter(fd int, local netip.Addr, largest int) error {
	p, err := load("esp_tap", ebpf.SocketFilter, ebpf.AttachNone, instructions(local, largest, filterAll, filterNone))
	if err != nil {
		return err
	}
	err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, p.FD()))
	return errors.Join(err, p.Close()) // the socket keeps it
}

// dropCopies keeps the kernel from seeing what the tap took.
func dropCopies(index int, local netip.Addr, largest int) (link.Link, error) {
	p, err := load("esp_taken", ebpf.SchedCLS, ebpf.AttachTCXIngress, instructions(local, largest, tcxDrop, tcxNext))
	if err != nil {
		return nil, err
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ring: attaching the program that drops copies: %w", err), p.Close())
	}
	return l, p.Close() // the link keeps it
}

package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/underlay/ether"
	"meshrouter/internal/ipv4"
)

// passFrame is XDP_PASS: on to the kernel's stack.
const passFrame = 2

// pass is the label where frames go that are not ours.
const pass = "pass"

// Offsets in struct xdp_md.
const (
	atData    = 0
	atDataEnd = 4
	atQueue   = 16
)

// Offsets in an Ethernet frame with IPv4.
const (
	atEtherType = 12
	atVersion   = ether.EthernetLen
	atTOS       = ether.EthernetLen + 1
	atTotalLen  = ether.EthernetLen + 2
	atFragment  = ether.EthernetLen + 6
	atProtocol  = ether.EthernetLen + 9
	atDst       = ether.EthernetLen + 16
)

// notPlain is set in the fragment field of all but whole packets; DF is no matter.
const notPlain = 0xbfff

// match are the instructions that fall through for a frame with a whole ESP packet to local without
// options, of at most largest bytes with its IPv4 header and below the control class, and jump to pass
// with any other. They change R2 to R5.
func match(local netip.Addr, largest int) asm.Instructions {
	dst := local.As4()
	word := func(b ...byte) int32 { return int32(binary.NativeEndian.Uint16(b)) }
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, atData, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, atDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, ether.HeaderLen),
		asm.JGT.Reg(asm.R4, asm.R3, pass),

		asm.LoadMem(asm.R5, asm.R2, atEtherType, asm.Half),
		asm.JNE.Imm(asm.R5, word(0x08, 0x00), pass),
		asm.LoadMem(asm.R5, asm.R2, atVersion, asm.Byte),
		asm.JNE.Imm(asm.R5, 4<<4|ipv4.HeaderLen/4, pass),
		asm.LoadMem(asm.R5, asm.R2, atTOS, asm.Byte),
		asm.JGE.Imm(asm.R5, ether.TOSControl, pass),
		asm.LoadMem(asm.R5, asm.R2, atFragment, asm.Half),
		asm.And.Imm(asm.R5, word(notPlain>>8, notPlain&0xff)),
		asm.JNE.Imm(asm.R5, 0, pass),
		asm.LoadMem(asm.R5, asm.R2, atProtocol, asm.Byte),
		asm.JNE.Imm(asm.R5, ipv4.ProtocolESP, pass),
		asm.LoadMem(asm.R5, asm.R2, atDst, asm.Word),
		asm.LoadImm(asm.R4, int64(binary.NativeEndian.Uint32(dst[:])), asm.DWord),
		asm.JNE.Reg(asm.R5, asm.R4, pass),

		// The whole packet is here, in front of whatever padding: a receiver's frame holds it.
		asm.LoadMem(asm.R5, asm.R2, atTotalLen, asm.Half),
		asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.JGT.Imm(asm.R5, int32(largest), pass), //nolint:gosec // G115: at most a page
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Reg(asm.R4, asm.R5),
		asm.Add.Imm(asm.R4, ether.EthernetLen),
		asm.JGT.Reg(asm.R4, asm.R3, pass),
	}
}

// A program is the XDP program of a Path with its map of sockets.
type program struct {
	sockets *ebpf.Map
	program *ebpf.Program
	hook    link.Link
	mode    string // where it is attached
}

// instructions redirect what match finds to the socket of its queue. bpf_redirect_map's own flags say what
// becomes of a packet whose queue has no socket: it passes.
func instructions(local netip.Addr, largest, socketsFD int) asm.Instructions {
	return append(match(local, largest),
		asm.LoadMem(asm.R2, asm.R1, atQueue, asm.Word),
		asm.LoadMapPtr(asm.R1, socketsFD),
		asm.Mov.Imm(asm.R3, passFrame),
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, passFrame).WithSymbol(pass),
		asm.Return(),
	)
}

// load makes the program for packets of at most largest bytes and a map for that many queues.
func load(local netip.Addr, largest, queues int) (*program, error) {
	// Kernels before 5.11 count maps and programs against the limit on locked memory.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("xdp: limit on locked memory: %w", err)
	}
	p := &program{}
	var err error
	p.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Name: "esp_sockets", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues)}) //nolint:gosec // G115: the number of queues is small
	if err != nil {
		return nil, fmt.Errorf("xdp: map of sockets: %w", err)
	}
	spec := &ebpf.ProgramSpec{
		Name: "esp_redirect", Type: ebpf.XDP, License: "Dual MIT/GPL", Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: instructions(local, largest, p.sockets.FD()),
	}
	if p.program, err = ebpf.NewProgram(spec); err != nil {
		spec.Flags = 0 // before Linux 5.18
		p.program, err = ebpf.NewProgram(spec)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("xdp: program: %w", err), p.close())
	}
	return p, nil
}

// attach puts the program where mode says. The link ends with its last descriptor, so with the process.
func (p *program) attach(on ether.Interface, mode Mode) (err error) {
	options := link.XDPOptions{Program: p.program, Interface: on.Index}
	why := ""
	if mode == Auto && on.Kind == "veth" {
		mode, why = Generic, ", which spares the segmentation offload of veth"
	}
	if mode != Generic {
		options.Flags = link.XDPDriverMode
		if p.hook, err = link.AttachXDP(options); err == nil {
			p.mode = "in the driver"
			return nil
		}
		if mode == Driver {
			return fmt.Errorf("xdp: attaching the program to the driver of %s: %w", on.Name, err)
		}
		why = fmt.Sprintf(", as the driver says %q", err)
	}
	options.Flags = link.XDPGenericMode
	if p.hook, err = link.AttachXDP(options); err != nil {
		return fmt.Errorf("xdp: attaching the program to %s: %w%s", on.Name, err, why)
	}
	p.mode = "in the generic hook" + why
	return nil
}

func (p *program) close() error {
	var errs []error
	if p.hook != nil {
		errs = append(errs, p.hook.Close())
	}
	if p.program != nil {
		errs = append(errs, p.program.Close())
	}
	return errors.Join(append(errs, p.sockets.Close())...)
}

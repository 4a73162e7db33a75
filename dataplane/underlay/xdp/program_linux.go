package xdp

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/underlay/ether"
)

// passFrame is XDP_PASS: on to the kernel's stack.
const passFrame = 2

// Offsets in struct xdp_md.
const (
	atData    = 0
	atDataEnd = 4
	atQueue   = 16
)

// A program is the XDP program of a Path with its map of sockets.
type program struct {
	sockets *ebpf.Map
	program *ebpf.Program
	hook    link.Link
	mode    string // where it is attached
}

// instructions redirect what ether.Match finds to the socket of its queue. bpf_redirect_map's own flags say what
// becomes of a packet whose queue has no socket: it passes.
func instructions(local netip.Addr, largest, socketsFD int) asm.Instructions {
	is := ether.Match(ether.Context{Data: atData, End: atDataEnd}, local, largest)
	return append(is,
		asm.LoadMem(asm.R2, asm.R1, atQueue, asm.Word),
		asm.LoadMapPtr(asm.R1, socketsFD),
		asm.Mov.Imm(asm.R3, passFrame),
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, passFrame).WithSymbol(ether.Pass),
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

// attach puts the program in the driver's hook, or else in the generic one. The link ends with its
// last descriptor, so with the process.
func (p *program) attach(index int, generic bool) error {
	options := link.XDPOptions{Program: p.program, Interface: index, Flags: link.XDPDriverMode}
	var inDriver, err error
	if !generic {
		if p.hook, inDriver = link.AttachXDP(options); inDriver == nil {
			p.mode = "in the driver"
			return nil
		}
	}
	options.Flags = link.XDPGenericMode
	if p.hook, err = link.AttachXDP(options); err != nil {
		return fmt.Errorf("xdp: attaching the program: %w", errors.Join(inDriver, err))
	}
	p.mode = "generic"
	if inDriver != nil {
		p.mode = fmt.Sprintf("generic, as the driver has none: %v", inDriver)
	}
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

package underlay

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
)

// Sockets are the outer sockets of a site: UDP 500, UDP 4500 and raw IP protocol 50.
type Sockets struct {
	local    netip.Addr
	sockets  []*socket
	prober   *prober
	segments *segmentation // nil: packets leave one by one
	offloads []Offload

	bypass *bypass // nil: protocol 50 has the raw sockets only

	// receivers are first those of control packets, then those of data: of port 4500 by SPI, then of
	// protocol 50.
	receivers []source
	controls  int

	// Where packets leave. Without steering, control packets share the lane of data.
	ike, natControl, natData, rawControl, rawData *lane
}

// A source is where packets arrive.
type source interface {
	receive() ([]Packet, error)
}

// Open opens the sockets with all offloads that help.
func Open(local netip.Addr) (*Sockets, error) { return Options{}.Open(local) }

// Open binds the sockets to local, an address of this host. It needs CAP_NET_RAW and
// CAP_NET_BIND_SERVICE. A missing offload is no error; see Offloads.
func (o Options) Open(local netip.Addr) (*Sockets, error) {
	if !local.Is4() || local.IsUnspecified() {
		return nil, fmt.Errorf("underlay: local address is %v, want an IPv4 address of this host", local)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sockets{local: local}
	if err := s.open(o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Sockets) open(o Options) (err error) {
	if s.prober, err = newProber(); err != nil {
		return err
	}
	b := builder{s: s}
	ike := b.socket(class{name: "UDP port 500", port: IKEPort, control: true})
	steering := s.use("steering", o.Steering, canSteer)
	var natControl, rawControl *socket
	data := 1
	if steering {
		data = o.dataReceivers()
		// The first of its group, which is what steer calls 0.
		natControl = b.socket(class{name: "UDP port 4500 for control", port: NATPort, control: true, group: true})
		rawControl = b.socket(class{name: "raw IP protocol 50 for control", control: true})
	}
	nat := make([]*socket, data)
	for i := range nat {
		nat[i] = b.socket(class{name: "UDP port 4500", port: NATPort, group: steering})
	}
	raw := b.socket(class{name: "raw IP protocol 50"})
	if steering {
		b.attach(natControl, unix.SO_ATTACH_REUSEPORT_CBPF, steer(data))
		b.attach(rawControl, unix.SO_ATTACH_FILTER, accept(true))
		b.attach(raw, unix.SO_ATTACH_FILTER, accept(false))
	}
	if b.err != nil {
		return b.err
	}

	messages := plainMessages
	if s.use("udp-gro", o.UDPGRO, func() error { return setEach(s.sockets, NATPort, unix.SOL_UDP, unix.UDP_GRO) }) {
		messages = joinedMessages
	}
	if s.use("udp-segment", o.UDPSegment, func() error { return nat[0].set(unix.SOL_UDP, unix.UDP_SEGMENT, 0) }) {
		s.segments = &segmentation{log: o.Logger}
	}
	s.use("timestamps", o.Timestamps, func() error {
		if o.Timestamps == Auto {
			return errors.New("off unless switched on: the kernel would stamp all packets of the host")
		}
		return setEach(s.sockets, anyPort, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS)
	})

	s.ike = newLane(1, nil, ike)
	s.natData, s.rawData = newLane(workers(), s.segments, nat...), newLane(workers(), nil, raw)
	s.natControl, s.rawControl = s.natData, s.rawData
	s.receive(ike, controlMessages)
	if steering {
		s.natControl, s.rawControl = newLane(1, s.segments, natControl), newLane(1, nil, rawControl)
		s.receive(natControl, controlMessages)
		s.receive(rawControl, controlMessages)
	}
	s.controls = len(s.receivers)
	for _, n := range nat {
		s.receive(n, messages)
	}
	return s.openRaw(o, raw)
}

// openRaw makes the receivers and the lane of protocol 50 data.
func (s *Sockets) openRaw(o Options, raw *socket) (err error) {
	if s.bypass, err = newBypass(s.local, o, s.natData.used); err != nil {
		return err
	}
	s.receive(raw, rawMessages)
	if s.bypass == nil {
		return nil
	}
	for _, l := range s.rawData.all {
		l.bypass = s.bypass
	}
	for i := range s.bypass.slots {
		s.receivers = append(s.receivers, &bypassReceiver{bypass: s.bypass, i: i})
	}
	return nil
}

// dataReceivers is how many sockets share the data of port 4500. On one or two CPUs more than one only
// makes batches smaller.
func (o Options) dataReceivers() int {
	switch cpus := runtime.GOMAXPROCS(0); {
	case o.Receivers > 0:
		return min(o.Receivers, maxReceivers)
	case cpus <= 2:
		return 1
	default:
		return min(cpus, 4)
	}
}

// use turns something on, unless its switch or the system forbids it, and notes how that came out.
func (s *Sockets) use(name string, want Switch, on func() error) bool {
	o := Offload{Name: name}
	if want == Off {
		o.Reason = "switched off"
	} else if err := on(); err != nil {
		o.Reason = err.Error()
	} else {
		o.On = true
	}
	s.offloads = append(s.offloads, o)
	return o.On
}

func (s *Sockets) receive(sock *socket, messages int) {
	s.receivers = append(s.receivers, newReceiver(sock, s.local, messages))
}

// A builder opens sockets until one of them fails.
type builder struct {
	s   *Sockets
	err error
}

func (b *builder) socket(c class) *socket {
	if b.err != nil {
		return nil
	}
	sock, err := c.open(b.s.local)
	if err != nil {
		b.err = err
		return nil
	}
	b.s.sockets = append(b.s.sockets, sock)
	return sock
}

func (b *builder) attach(s *socket, option int, program []bpf.Instruction) {
	if b.err == nil {
		b.err = s.attach(option, program)
	}
}

// Receivers is how many goroutines can call Receive, each with its own index.
func (s *Sockets) Receivers() int { return len(s.receivers) }

// Local is the site's outer address.
func (s *Sockets) Local() netip.Addr { return s.local }

// Control reports whether receiver i is one of control packets: IKE, keepalives and class CS6. Without
// steering these arrive with the data, but for IKE on port 500.
func (s *Sockets) Control(i int) bool { return i < s.controls }

// Offloads says what of the Options is in use.
func (s *Sockets) Offloads() []Offload {
	out := slices.Clone(s.offloads)
	for i := range out {
		if n := s.segments.destinations(); out[i].Name == "udp-segment" && n > 0 {
			out[i].Reason = fmt.Sprintf("not to %d peers, where the system has refused it", n)
		}
	}
	return append(out, s.bypass.offload())
}

// Counters reads the counters. Each is exact, but they are not read at one moment.
func (s *Sockets) Counters() (c Counters) {
	for _, r := range s.receivers {
		switch r := r.(type) {
		case *receiver:
			c.Received += r.received.Load()
			c.ReceivedMessages += r.messages.Load()
		case *bypassReceiver:
			c.Received += r.received.Load()
			c.ReceivedMessages += r.received.Load()
		}
	}
	for _, l := range s.lanes() {
		for _, sender := range l.all {
			c.Sent += sender.sent.Load()
			c.SentMessages += sender.messages.Load()
		}
	}
	if s.segments != nil {
		c.SegmentRefusals = s.segments.count.Load()
	}
	return c
}

// Drops calls f for each reason why packets were lost on arrival, with their number so far.
func (s *Sockets) Drops(f func(reason string, n uint64)) {
	var data, control uint64
	for _, sock := range s.sockets {
		if sock.tos == tosControl {
			control += sock.dropped()
		} else {
			data += sock.dropped()
		}
	}
	f("socket_full", data)
	f("control_socket_full", control)
	if s.bypass != nil {
		s.bypass.drops(f)
	}
}

// lanes are all lanes, each once.
func (s *Sockets) lanes() []*lane {
	all := []*lane{s.ike, s.natData, s.rawData}
	if s.natControl != s.natData {
		all = append(all, s.natControl, s.rawControl)
	}
	return all
}

// Close closes all sockets; Receive then returns os.ErrClosed.
func (s *Sockets) Close() error {
	var errs []error
	if s.bypass != nil {
		errs = append(errs, s.bypass.close())
	}
	for _, sock := range s.sockets {
		errs = append(errs, sock.file.Close())
	}
	if s.prober != nil {
		errs = append(errs, s.prober.file.Close())
	}
	return errors.Join(errs...)
}

// Receive waits for packets on receiver i and returns those that are there, several hundred at
// most. They and their memory are the caller's until its next call with the same i. Payloads may be
// changed in place, but lie side by side.
func (s *Sockets) Receive(i int) ([]Packet, error) { return s.receivers[i].receive() }

// Send sends sealed packets to where their SAs say, in order: by UDP if the SA has ports, else as IP
// protocol 50. A packet that the system refuses is left out; n is how many it took, and err why it
// refused the last of the others. It waits while the socket's buffer is full; control packets have a
// buffer of their own.
func (s *Sockets) Send(ps []esp.Sealed) (n int, err error) {
	for len(ps) > 0 {
		run, l := 1, s.laneOf(ps[0])
		for run < len(ps) && s.laneOf(ps[run]) == l {
			run++
		}
		m, e := l.send(ps[:run])
		n += m
		if e != nil {
			err = e
		}
		ps = ps[run:]
	}
	return n, err
}

func (s *Sockets) laneOf(p esp.Sealed) *lane {
	udp, control := p.SA().Dst().Port() != 0, p.TOS() >= tosControl
	switch {
	case udp && control:
		return s.natControl
	case udp:
		return s.natData
	case control:
		return s.rawControl
	}
	return s.rawData
}

// SendProbe sends one packet with DF, however large it is: path MTU discovery (RFC 8899) learns from its
// fate. The error is ErrTooBig if the interface to the peer does not let it through.
func (s *Sockets) SendProbe(p esp.Sealed) error { return s.prober.send(s.local, p) }

// SendIKE sends an ISAKMP message from port 500 or, after the non-ESP marker, from port 4500.
func (s *Sockets) SendIKE(d Datagram) error {
	switch d.Local.Port() {
	case IKEPort:
		return sendControl(s.ike, d.Remote, marked(d, false))
	case NATPort:
		return sendControl(s.natControl, d.Remote, marked(d, true))
	}
	return fmt.Errorf("underlay: IKE cannot leave from port %d, only from %d and %d", d.Local.Port(), IKEPort, NATPort)
}

// SendKeepalive sends a NAT keepalive (RFC 3948, 4).
func (s *Sockets) SendKeepalive(remote netip.AddrPort) error {
	return sendControl(s.natControl, remote, []byte{keepalive})
}

func sendControl(l *lane, remote netip.AddrPort, b []byte) error {
	if !remote.Addr().Is4() {
		return fmt.Errorf("underlay: remote address is %v, want IPv4", remote)
	}
	return l.sendOne(remote, tosControl, b)
}

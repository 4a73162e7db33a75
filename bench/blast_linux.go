package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blastBatch is how many packets a system call moves at most; blastTick is how long the sender rests
// when it is ahead of its time.
const (
	blastBatch = 64
	blastTick  = 100 * time.Microsecond
)

// An mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// A blaster is a UDP socket with a batch of packets.
type blaster struct {
	fd      int
	packets [blastBatch][]byte
	iov     [blastBatch]unix.Iovec
	msgs    [blastBatch]mmsghdr
}

const blastMax = 2048 // bytes of a packet

func newBlaster(local netip.AddrPort) (*blaster, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	b := &blaster{fd: fd}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: local.Addr().As4(), Port: int(local.Port())}); err != nil {
		return nil, fmt.Errorf("bind %s: %w", local, err)
	}
	for i := range b.packets {
		b.packets[i] = make([]byte, blastMax)
		b.iov[i].Base = &b.packets[i][0]
		b.msgs[i].Iov, b.msgs[i].Iovlen = &b.iov[i], 1
	}
	return b, nil
}

// size makes all packets that long.
func (b *blaster) size(n int) {
	for i := range b.iov {
		b.iov[i].SetLen(n)
	}
}

// monotonic is the clock that both ends share.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // never fails
	return time.Duration(t.Nano())
}

// send sends the first n packets, and returns how many the kernel took.
func (b *blaster) send(n int) (int, error) {
	done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.msgs[0])), uintptr(n), 0, 0, 0) //nolint:gosec // G103: there is no wrapper; msgs outlives the call
	if errno == 0 {
		return int(done), nil
	}
	if errno == unix.EINTR || errno == unix.EAGAIN || errno == unix.ENOBUFS || errno == unix.ECONNREFUSED {
		return 0, nil
	}
	return 0, errno
}

// receive waits for a packet and returns how many there are.
func (b *blaster) receive() (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.msgs[0])), blastBatch, unix.MSG_WAITFORONE, 0, 0) //nolint:gosec // G103: as above
	if errno == 0 {
		return int(n), nil
	}
	if errno == unix.EINTR || errno == unix.EAGAIN {
		return 0, nil
	}
	return 0, errno
}

// serveSender sends on request: "RUN BYTES RATE MS" is answered by "PACKETS NS" once they are sent.
func serveSender(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("%s: want FROM TO", SendWorker)
	}
	from, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	b, err := newBlaster(from)
	if err != nil {
		return err
	}
	if err := unix.Connect(b.fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return err
	}
	return answer(in, out, func(line string) (string, error) {
		var run uint64
		var bytes, ms int
		var rate float64
		if _, err := fmt.Sscan(line, &run, &bytes, &rate, &ms); err != nil || bytes < blastHeader || bytes > blastMax || rate <= 0 {
			return "", fmt.Errorf("no such request: %q", line)
		}
		sent, took, err := b.blast(run, bytes, rate, time.Duration(ms)*time.Millisecond)
		return fmt.Sprintf("%d %d", sent, took.Nanoseconds()), err
	})
}

// answer answers each line of requests until there are no more.
func answer(in io.Reader, out io.Writer, to func(string) (string, error)) error {
	for s := bufio.NewScanner(in); s.Scan(); {
		a, err := to(s.Text())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, a); err != nil {
			return err
		}
	}
	return nil
}

// blast offers packets evenly for so long. What the sender could not send in time it does not send later:
// it then offers less, and says so.
func (b *blaster) blast(run uint64, bytes int, rate float64, duration time.Duration) (sent int, took time.Duration, err error) {
	b.size(bytes)
	for i := range b.packets {
		binary.NativeEndian.PutUint64(b.packets[i][blastRun:], run)
	}
	begun := monotonic()
	for {
		now := monotonic()
		if took = now - begun; took >= duration {
			return sent, took, nil
		}
		due := int(took.Seconds()*rate) + 1 - sent
		if due <= 0 {
			rest := unix.NsecToTimespec(int64(blastTick))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &rest, nil) // interrupted: all the same
			continue
		}
		n := min(due, blastBatch)
		for i := range n {
			binary.NativeEndian.PutUint64(b.packets[i][blastTime:], uint64(now)) //nolint:gosec // not negative
		}
		done, err := b.send(n)
		if err != nil {
			return sent, took, err
		}
		sent += done
	}
}

// A trial is what the receiver knows of the packets of one run.
type trial struct {
	mu       sync.Mutex
	run      uint64
	late     time.Duration // what takes longer has not arrived
	inTime   int
	received int
	took     histogram
}

// serveReceiver counts packets: "begin RUN LATE_NS" forgets the last run, "end" is answered by
// "RECEIVED IN_TIME P50 P99 P999", in ns.
func serveReceiver(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("%s: want ADDRESS", ReceiveWorker)
	}
	local, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return err
	}
	b, err := newBlaster(local)
	if err != nil {
		return err
	}
	b.size(blastMax)
	const room = 8 << 20 // the kernel may grant less to whom it does not trust
	if unix.SetsockoptInt(b.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(b.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	}
	t := &trial{}
	failed := make(chan error, 1)
	go func() { // ends with the process
		runtime.LockOSThread()
		for {
			n, err := b.receive()
			if err != nil {
				failed <- err
				return
			}
			t.count(b, n)
		}
	}()
	return answer(in, out, func(line string) (string, error) {
		select {
		case err := <-failed:
			return "", err
		default:
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		var run uint64
		var late int64
		if n, _ := fmt.Sscanf(line, "begin %d %d", &run, &late); n == 2 {
			t.run, t.late, t.inTime, t.received, t.took = run, time.Duration(late), 0, 0, histogram{}
			return "begun", nil
		}
		return fmt.Sprintf("%d %d %d %d %d", t.received, t.inTime, t.took.quantile(0.5), t.took.quantile(0.99), t.took.quantile(0.999)), nil
	})
}

func (t *trial) count(b *blaster, n int) {
	now := monotonic()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range n {
		p := b.packets[i]
		if b.msgs[i].n < blastHeader || binary.NativeEndian.Uint64(p[blastRun:]) != t.run {
			continue // of an earlier run, and too late
		}
		took := now - time.Duration(binary.NativeEndian.Uint64(p[blastTime:])) //nolint:gosec // as it was sent
		t.received++
		if took <= t.late {
			t.inTime++
		}
		t.took.add(took)
	}
}

// A worker is a helper of ours inside a namespace: it answers lines with lines.
type worker struct {
	*process
	in  io.WriteCloser
	out *bufio.Reader
}

// worker starts a helper at the site.
func (s *site) worker(binary string, args ...string) (*worker, error) {
	cmd := helper(binary, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := s.ns.spawn(cmd)
	if err != nil {
		return nil, err
	}
	return &worker{p, in, bufio.NewReader(out)}, nil
}

func (w *worker) ask(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(w.in, format+"\n", args...); err != nil {
		return "", fmt.Errorf("%v: %w", w.Args, err)
	}
	line, err := w.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%v has ended: %w", w.Args, err)
	}
	return line, nil
}

// close ends the worker: it ends with its input.
func (w *worker) close() {
	_ = w.in.Close()
	select {
	case <-w.exited:
	case <-time.After(time.Second):
		w.stop()
	}
}

// A stream is a sender and a receiver on a path.
type stream struct {
	sender, receiver *worker
	runs             uint64
}

const blastPort = 5300

// newStream starts them.
func newStream(p *pair, binary, from, to string) (*stream, error) {
	port := func(a string) string { return net.JoinHostPort(a, fmt.Sprint(blastPort)) }
	receiver, err := p.right.worker(binary, ReceiveWorker, port(to))
	if err != nil {
		return nil, err
	}
	p.workers = append(p.workers, receiver)
	sender, err := p.left.worker(binary, SendWorker, port(from), port(to))
	if err != nil {
		return nil, err
	}
	p.workers = append(p.workers, sender)
	return &stream{sender: sender, receiver: receiver}, nil
}

// A blastResult is what became of packets that were offered at one rate.
type blastResult struct {
	wanted, offered float64 // packets a second
	sent, inTime    float64
	arrived         float64 // packets a second, in time or not
	p50, p99, p999  time.Duration
}

// lateness is how long a packet may take to count as arrived. Without it a deep queue would hide for the
// length of a trial that more comes than goes.
const lateness = 25 * time.Millisecond

// offer offers packets at a rate for so long.
func (s *stream) offer(bytes int, rate float64, duration time.Duration) (blastResult, error) {
	s.runs++
	r := blastResult{wanted: rate}
	if _, err := s.receiver.ask("begin %d %d", s.runs, lateness.Nanoseconds()); err != nil {
		return r, err
	}
	line, err := s.sender.ask("%d %d %f %d", s.runs, bytes, rate, duration.Milliseconds())
	if err != nil {
		return r, err
	}
	var ns float64
	if _, err := fmt.Sscan(line, &r.sent, &ns); err != nil {
		return r, fmt.Errorf("the sender answers %q", line)
	}
	time.Sleep(2 * lateness)
	if line, err = s.receiver.ask("end"); err != nil {
		return r, err
	}
	var received float64
	if _, err := fmt.Sscan(line, &received, &r.inTime, &r.p50, &r.p99, &r.p999); err != nil {
		return r, fmt.Errorf("the receiver answers %q: %w", line, err)
	}
	r.offered, r.arrived = r.sent/ns*1e9, received/ns*1e9
	return r, nil
}

// held says whether a rate was offered in full and less than 0.5 % of it was lost.
func (r blastResult) held() bool {
	return r.offered >= 0.98*r.wanted && r.inTime > 0.995*r.sent
}

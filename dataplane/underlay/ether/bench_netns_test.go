//go:build netns

package ether_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
)

// raw is what the paths are measured against: a raw socket of protocol 50 with sendmmsg and recvmmsg.
type raw struct {
	file   *os.File
	conn   syscall.RawConn
	local  netip.Addr
	tx, rx [64]struct {
		hdr unix.Msghdr
		n   uint32
	}
	txName  unix.RawSockaddrInet4
	txIov   [64]unix.Iovec
	rxIov   [64]unix.Iovec
	rxBuf   [64][2048]byte
	packets [64]ether.Packet
	count   int
	read    func(fd uintptr) bool
	batch   int
	write   func(fd uintptr) bool
}

func openRaw(local netip.Addr) (path, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 50)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: local.As4()}); err != nil {
		return nil, err
	}
	for _, o := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, 4<<20); err != nil {
			return nil, err
		}
	}
	r := &raw{file: os.NewFile(uintptr(fd), "raw"), local: local}
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return nil, err
	}
	r.txName.Family = unix.AF_INET
	for i := range r.tx {
		r.tx[i].hdr.Name, r.tx[i].hdr.Namelen = (*byte)(unsafe.Pointer(&r.txName)), unix.SizeofSockaddrInet4
		r.tx[i].hdr.Iov, r.rx[i].hdr.Iov = &r.txIov[i], &r.rxIov[i]
		r.tx[i].hdr.SetIovlen(1)
		r.rx[i].hdr.SetIovlen(1)
		r.rxIov[i].Base = &r.rxBuf[i][0]
		r.rxIov[i].SetLen(len(r.rxBuf[i]))
	}
	r.read = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.rx)), 64, 0, 0, 0)
		r.count = int(n)
		return errno == 0
	}
	r.write = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&r.tx)), uintptr(r.batch), 0, 0, 0)
		return errno == 0 && int(n) == r.batch
	}
	return r, nil
}

func (r *raw) Receivers() int { return 1 }

func (r *raw) Receive(int) ([]ether.Packet, error) {
	if r.conn.Read(r.read) != nil {
		return nil, os.ErrClosed
	}
	for i := range r.count {
		r.packets[i].Payload = r.rxBuf[i][20:r.rx[i].n]
	}
	return r.packets[:r.count], nil
}

func (r *raw) Send(ps, rest []esp.Sealed) (int, []esp.Sealed, error) {
	r.txName.Addr = ps[0].SA().Dst().Addr().As4()
	for i, p := range ps {
		r.txIov[i].Base = unsafe.SliceData(p.Bytes())
		r.txIov[i].SetLen(len(p.Bytes()))
	}
	r.batch = len(ps)
	return len(ps), rest, r.conn.Write(r.write)
}

func (r *raw) Describe() string                    { return "raw" }
func (r *raw) Drops(func(reason string, n uint64)) {}
func (r *raw) Close() error                        { return r.file.Close() }

// A figure is what one round of one kind gave.
type figure struct{ sent, got, tx, rx float64 } // kpps, kpps, ns of CPU a packet sent, ns a packet received

// BenchmarkPaths measures all kinds side by side: each iteration is one round of every kind, so
// -benchtime=15x gives medians over 15 interleaved rounds. The sender sends as fast as it can in
// batches of MESHROUTER_BATCH packets, 64 if unset. CPU is that of the sending thread and of the rest of
// the process; what the kernel does for the receiver in the sender's context counts as the sender's.
func BenchmarkPaths(b *testing.B) {
	batch := 64
	if s := os.Getenv("MESHROUTER_BATCH"); s != "" {
		batch, _ = strconv.Atoi(s)
	}
	all := append([]kind{{"raw", openRaw}}, kinds...)
	for _, size := range []int{64, 1400} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			runs := make([]*measured, len(all))
			for i, k := range all {
				runs[i] = newMeasured(b, k, batch, size)
			}
			b.ResetTimer()
			for range b.N {
				for _, m := range runs {
					m.round(b)
				}
			}
			b.StopTimer()
			var text strings.Builder
			for i, m := range runs {
				m.report(b, &text, all[i].name)
			}
			if b.N > 1 { // the first is a trial, and Log cuts off
				fmt.Println(text.String())
			}
		})
	}
}

type measured struct {
	a, b     *end
	out      []esp.Sealed
	received atomic.Uint64
	figures  []figure
}

func newMeasured(b *testing.B, k kind, batch, size int) *measured {
	m := &measured{}
	m.a, m.b = pair(b, k, 1)
	m.out = sealed(b, addrA, addrB, batch, size, 0)
	go func() { // ends with the path
		runtime.LockOSThread()
		for {
			ps, err := m.b.Receive(0)
			if err != nil {
				return
			}
			m.received.Add(uint64(len(ps)))
		}
	}()
	return m
}

func cpu(who int) float64 {
	var u unix.Rusage
	_ = unix.Getrusage(who, &u)
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

func (m *measured) round(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, self, all, start := m.received.Load(), cpu(unix.RUSAGE_THREAD), cpu(unix.RUSAGE_SELF), time.Now()
	sent := 0
	for time.Since(start) < 200*time.Millisecond {
		n, left, err := m.a.Send(m.out, nil)
		if len(left) != 0 || err != nil {
			b.Fatalf("Send: %d left, %v", len(left), err)
		}
		sent += n
	}
	spent, tx := time.Since(start), cpu(unix.RUSAGE_THREAD)-self
	time.Sleep(5 * time.Millisecond) // the rest arrives
	rx := cpu(unix.RUSAGE_SELF) - all - tx
	got := float64(m.received.Load() - before)
	ms := float64(spent) / 1e6
	m.figures = append(m.figures, figure{float64(sent) / ms, got / ms, tx / float64(sent), rx / max(got, 1)})
}

func (m *measured) report(b *testing.B, text *strings.Builder, name string) {
	fmt.Fprintf(text, "\n%-12s", name)
	for _, f := range []struct {
		unit string
		of   func(figure) float64
	}{
		{"kpps-sent", func(f figure) float64 { return f.sent }},
		{"kpps-received", func(f figure) float64 { return f.got }},
		{"tx-ns", func(f figure) float64 { return f.tx }},
		{"rx-ns", func(f figure) float64 { return f.rx }},
	} {
		values := make([]float64, 0, len(m.figures))
		for _, x := range m.figures {
			values = append(values, f.of(x))
		}
		slices.Sort(values)
		n := len(values)
		fmt.Fprintf(text, "  %s %.0f [%.0f-%.0f]", f.unit, values[n/2], values[n/10], values[n-1-n/10])
		b.ReportMetric(values[n/2], name+"-"+f.unit)
	}
	m.b.Drops(func(reason string, n uint64) {
		if n != 0 {
			fmt.Fprintf(text, "  %s=%d", reason, n)
		}
	})
}

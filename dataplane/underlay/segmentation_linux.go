package underlay

import (
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"meshrouter/dataplane/esp"
)

const (
	// refusalTime is how long a destination gets packets one by one after the system has refused to cut
	// a message: as long as the kernel remembers a path's MTU (net.ipv4.route.mtu_expires).
	refusalTime = 10 * time.Minute
	// maxRefusals bounds how many destinations are remembered; then all are tried again.
	maxRefusals = 1024
)

// segmentation remembers where the system does not cut messages into packets. Looking that up takes no lock.
type segmentation struct {
	log *slog.Logger

	mu       sync.Mutex
	refusals atomic.Pointer[map[netip.Addr]refusal] // replaced, never changed
	count    atomic.Uint64
}

type refusal struct {
	size  int // packets as long as this or longer
	until time.Time
}

// allowed reports whether p may begin a message of several packets.
func (s *segmentation) allowed(p esp.Sealed) bool {
	m := s.refusals.Load()
	if m == nil {
		return true
	}
	r, ok := (*m)[p.SA().Dst().Addr()]
	return !ok || len(p.Bytes()) < r.size || time.Now().After(r.until)
}

// refused notes that the system would not cut a message that p began, and reports whether its packets
// may leave one by one.
//
//   - EIO: the device does not compute checksums, or IPsec of the kernel is on the path;
//   - EMSGSIZE, until Linux 6.13 EINVAL: a packet is larger than the path's MTU; by itself it is fragmented.
func (s *segmentation) refused(p esp.Sealed, errno syscall.Errno) bool {
	size, to := 0, p.SA().Dst().Addr()
	switch {
	case errors.Is(errno, syscall.EIO), errors.Is(errno, syscall.EOPNOTSUPP):
	case errors.Is(errno, syscall.EMSGSIZE), errors.Is(errno, syscall.EINVAL):
		size = len(p.Bytes())
	default:
		return false
	}
	s.count.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := make(map[netip.Addr]refusal)
	if old := s.refusals.Load(); old != nil && len(*old) < maxRefusals {
		maps.Copy(m, *old)
	}
	_, known := m[to]
	m[to] = refusal{size, time.Now().Add(refusalTime)}
	s.refusals.Store(&m)
	if !known {
		s.log.Warn("segmentation offload is refused, packets leave one by one",
			slog.Any("peer", to), slog.Int("from_size", size), slog.Any("err", errno))
	}
	return true
}

// destinations is how many peers get packets one by one.
func (s *segmentation) destinations() int {
	if s == nil {
		return 0
	}
	if m := s.refusals.Load(); m != nil {
		return len(*m)
	}
	return 0
}

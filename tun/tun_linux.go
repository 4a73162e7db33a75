package tun

import (
	"errors"
	"fmt"
	"os"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const cloneDevice = "/dev/net/tun"

func open(cfg Config) (*Device, error) {
	switch {
	case len(cfg.Name) >= unix.IFNAMSIZ:
		return nil, fmt.Errorf("the name has %d bytes, want at most %d", len(cfg.Name), unix.IFNAMSIZ-1)
	case cfg.Backend == Water && cfg.Queues > 1:
		return nil, fmt.Errorf("backend %s has one queue, not %d", Water, cfg.Queues)
	case cfg.Backend != Water && cfg.Backend != Native:
		return nil, fmt.Errorf("unknown backend %q, want %s or %s", cfg.Backend, Native, Water)
	}
	d := &Device{name: cfg.Name, mtu: cfg.MTU}
	first, err := d.attach(cfg)
	if err != nil {
		return nil, errors.Join(explain(err, cfg), d.Close())
	}
	d.delete = func() error {
		if setPersist(first, false) == nil {
			return nil
		}
		return remove(d.name) // the queue was closed before
	}
	if err := setMTU(d.name, cfg.MTU); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := setPersist(first, cfg.Persist); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// attach opens the queues and returns the first one's file.
func (d *Device) attach(cfg Config) (first *os.File, err error) {
	if cfg.Backend == Water {
		q, file, name, err := openWater(cfg.Name, cfg.Persist)
		if err != nil {
			return nil, err
		}
		d.name, d.queues, d.offloads = name, []Queue{q}, noOffloads("backend "+Water+" has none")
		return file, nil
	}
	if attached(d.name) > 0 {
		return nil, unix.EBUSY
	}
	// Only a device made for several queues can ever have more than one. A persistent one may get more
	// later, when another process opens it.
	multi := cfg.Persist || cfg.Queues > 1
	for range cfg.Queues {
		fd, name, err := attachQueue(d.name, multi)
		if errors.Is(err, unix.EINVAL) && cfg.Queues == 1 {
			fd, name, err = attachQueue(d.name, !multi) // the device is there, made the other way
		}
		if err != nil {
			return nil, err
		}
		d.name = name
		tcp, udp, err := setOffloads(fd, cfg.Offload)
		if err != nil {
			return nil, errors.Join(err, unix.Close(fd))
		}
		q, err := newKernelQueue(fd, tcp.On, udp.On)
		if err != nil {
			return nil, err
		}
		d.queues, d.offloads = append(d.queues, q), []Offload{tcp, udp}
		if first == nil {
			first = q.file
		}
	}
	if attached(d.name) > cfg.Queues { // two processes at the same moment
		return nil, unix.EBUSY
	}
	return first, nil
}

// attached is how many queues of a TUN device processes have open. A device for several queues can be opened
// by several processes, which would each get a part of the traffic.
func attached(name string) int {
	if name == "" {
		return 0
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0 // not there yet
	}
	if dev, ok := link.(*netlink.Tuntap); ok {
		return dev.Queues + dev.DisabledQueues
	}
	return 0
}

// attachQueue opens a queue of the device, creating it if it is not there, and returns the device's name.
func attachQueue(name string, multi bool) (fd int, got string, err error) {
	fd, err = unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, "", &os.PathError{Op: "open", Path: cloneDevice, Err: err}
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if multi {
			flags |= unix.IFF_MULTI_QUEUE
		}
		ifr.SetUint16(flags)
		err = os.NewSyscallError("TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr))
	}
	if err == nil { // an earlier process may have left another length on a persistent device
		err = os.NewSyscallError("TUNSETVNETHDRSZ", unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, virtioLen))
	}
	if err != nil {
		return -1, "", errors.Join(err, unix.Close(fd))
	}
	return fd, ifr.Name(), nil
}

func openWater(name string, persist bool) (Queue, *os.File, string, error) {
	ifce, err := water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name, Persist: persist},
	})
	if err != nil {
		return nil, nil, "", err
	}
	file, ok := ifce.ReadWriteCloser.(*os.File)
	if !ok {
		return nil, nil, "", errors.Join(errors.New("water did not return a file"), ifce.Close())
	}
	if err := control(file, func(fd int) error { unix.CloseOnExec(fd); return nil }); err != nil {
		return nil, nil, "", errors.Join(err, ifce.Close())
	}
	return newSimpleQueue(&plainQueue{dev: ifce}), file, ifce.Name(), nil
}

// explain says what to do about the errors that an operator meets.
func explain(err error, cfg Config) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: opening a TUN device needs CAP_NET_ADMIN", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: another process has it open", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: a device of this name exists that is no TUN, or was made for one queue and not %d; remove it with: ip link del %s", err, cfg.Queues, cfg.Name)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: the kernel has no TUN driver; try: modprobe tun", err)
	default:
		return err
	}
}

// control runs f with the file's descriptor, which stays non-blocking (File.Fd would change that).
func control(file *os.File, f func(fd int) error) error {
	c, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func setPersist(file *os.File, on bool) error {
	value := 0
	if on {
		value = 1
	}
	return control(file, func(fd int) error {
		return os.NewSyscallError("TUNSETPERSIST", unix.IoctlSetInt(fd, unix.TUNSETPERSIST, value))
	})
}

// remove ends the persistence of a device that no process has open.
func remove(name string) error {
	if attached(name) > 0 {
		return unix.EBUSY
	}
	fd, _, err := attachQueue(name, true)
	if errors.Is(err, unix.EINVAL) {
		fd, _, err = attachQueue(name, false)
	}
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("TUNSETPERSIST", unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 0)), unix.Close(fd))
}

func setMTU(name string, mtu int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint32(uint32(mtu)) //nolint:gosec // Open has checked that mtu is at most 65535
		err = os.NewSyscallError("SIOCSIFMTU", unix.IoctlIfreq(fd, unix.SIOCSIFMTU, ifr))
	}
	return errors.Join(err, unix.Close(fd))
}

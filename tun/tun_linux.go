package tun

import (
	"errors"
	"fmt"
	"os"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
	wg "golang.zx2c4.com/wireguard/tun"
)

const cloneDevice = "/dev/net/tun"

func open(cfg Config) (*Device, error) {
	if len(cfg.Name) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("the name has %d bytes, want at most %d", len(cfg.Name), unix.IFNAMSIZ-1)
	}
	d := &Device{name: cfg.Name, mtu: cfg.MTU}
	var first *os.File
	for range cfg.Queues {
		q, file, name, err := openQueue(cfg, d.name)
		if err != nil {
			return nil, errors.Join(explain(err, cfg), d.Close())
		}
		d.queues = append(d.queues, q)
		d.name = name
		if first == nil {
			first = file
		}
	}
	d.delete = func() error {
		if setPersist(first, false) == nil {
			return nil
		}
		return forget(d.name, cfg.Queues > 1) // the queue was closed before
	}
	if err := setMTU(d.name, cfg.MTU); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := setPersist(first, cfg.Persist); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func openQueue(cfg Config, name string) (Queue, *os.File, string, error) {
	switch cfg.Backend {
	case WireGuard:
		return openWireGuard(name, cfg.Queues > 1)
	case Water:
		if cfg.Queues > 1 {
			return nil, nil, "", fmt.Errorf("backend %s has one queue, not %d", Water, cfg.Queues)
		}
		return openWater(name, cfg.Persist)
	default:
		return nil, nil, "", fmt.Errorf("unknown backend %q, want %s or %s", cfg.Backend, WireGuard, Water)
	}
}

// openWireGuard attaches one queue. The descriptor is set up here and not by wg.CreateTUN, whose
// netlink listener nobody needs and which knows neither queues nor persistence.
func openWireGuard(name string, multi bool) (Queue, *os.File, string, error) {
	fd, err := unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, "", &os.PathError{Op: "open", Path: cloneDevice, Err: err}
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
	if err != nil {
		return nil, nil, "", errors.Join(err, unix.Close(fd))
	}
	dev, got, err := wg.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		return nil, nil, "", errors.Join(err, unix.Close(fd))
	}
	return newSimpleQueue(dev), dev.File(), got, nil
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
		return fmt.Errorf("%w: a device of this name exists that is not a TUN with %d queue(s); remove it with: ip link del %s", err, cfg.Queues, cfg.Name)
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

func remove(name string) error { return forget(name, false) }

// forget ends the persistence of a device whose queues are closed.
func forget(name string, multi bool) error {
	q, file, _, err := openWireGuard(name, multi)
	if err != nil {
		return err
	}
	return errors.Join(setPersist(file, false), q.Close())
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

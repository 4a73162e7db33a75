//go:build openbsd || freebsd || darwin

package tun

import (
	"errors"

	wg "golang.zx2c4.com/wireguard/tun"
)

func openNative(name string, mtu int) (*Device, error) {
	dev, err := wg.CreateTUN(name, mtu)
	if err != nil {
		return nil, err
	}
	if name, err = dev.Name(); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	go func() { // ends when dev is closed; the link's state is the router's business
		for range dev.Events() {
		}
	}()
	return &Device{name: name, mtu: mtu, queues: []Queue{newSimpleQueue(dev)}, offloads: noOffloads("this system has none")}, nil
}

package tun

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestOpenRefusesBadConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{MTU: 100}, "MTU is 100"},
		{Config{MTU: 70000}, "MTU is 70000"},
		{Config{Queues: -1}, "-1 queues"},
		{Config{Backend: "carrier-pigeon"}, `carrier-pigeon`},
		{Config{Backend: Water, Queues: 2}, "queue"},
		{Config{Name: "a-name-that-is-much-too-long"}, "a-name-that-is-much-too-long"},
	} {
		d, err := Open(tt.cfg)
		if err == nil {
			t.Errorf("Open(%+v) = %v, want an error", tt.cfg, d.Name())
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Open(%+v): %q does not mention %q", tt.cfg, err, tt.want)
		}
	}
}

func TestPairMovesPacketsInOrder(t *testing.T) {
	t.Parallel()
	a, b := Pair()
	const offset = 16
	var sent [][]byte
	for i := range 5 {
		sent = append(sent, append(make([]byte, offset), bytes.Repeat([]byte{byte(i)}, 20+i)...))
	}
	if n, err := a.Queues()[0].Write(sent, offset); n != 5 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	bufs := [][]byte{make([]byte, 2000), make([]byte, 2000), make([]byte, 2000)}
	sizes := make([]int, 3)
	next := 0
	for next < 5 {
		n, err := b.Queues()[0].Read(bufs, sizes, 4)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if got := bufs[i][4 : 4+sizes[i]]; !bytes.Equal(got, sent[next][offset:]) {
				t.Errorf("packet %d is % x, want % x", next, got, sent[next][offset:])
			}
			next++
		}
	}
}

func TestPairCloseEndsReader(t *testing.T) {
	t.Parallel()
	a, b := Pair()
	done := make(chan error)
	go func() {
		_, err := b.Queues()[0].Read([][]byte{make([]byte, 100)}, make([]int, 1), 0)
		done <- err
	}()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close: %v, want os.ErrClosed", err)
	}
}

func TestPairDoesNotAllocate(t *testing.T) {
	a, b := Pair()
	bufs, sizes := [][]byte{make([]byte, 2000)}, make([]int, 1)
	out := [][]byte{make([]byte, 1500)}
	move := func() {
		if _, err := a.Queues()[0].Write(out, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Queues()[0].Read(bufs, sizes, 0); err != nil {
			t.Fatal(err)
		}
	}
	for range pairDepth {
		move()
	}
	if n := testing.AllocsPerRun(1000, move); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

package tun

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"meshrouter/dataplane/segment"
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
	var sent []segment.Group
	for i := range pairBatch + 5 {
		sent = append(sent, segment.Group{Pieces: [][]byte{bytes.Repeat([]byte{byte(i)}, 20+i)}})
	}
	if n, err := a.Queues()[0].Write(sent); n != len(sent) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	for next := 0; next < len(sent); {
		ps, err := b.Queues()[0].Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			if got, want := p.Buf[p.Start:p.End], sent[next].Pieces[0]; !bytes.Equal(got, want) {
				t.Errorf("packet %d is % x, want % x", next, got, want)
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
		_, err := b.Queues()[0].Read()
		done <- err
	}()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close: %v, want os.ErrClosed", err)
	}
}

package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"meshrouter/router"
)

func TestForward(t *testing.T) {
	t.Parallel()
	for s, want := range map[os.Signal]router.Signal{
		syscall.SIGTERM: router.Stop, syscall.SIGINT: router.Stop, syscall.SIGHUP: router.Reload, syscall.SIGUSR2: router.Leave,
	} {
		out := make(chan router.Signal, 1)
		forward(t.Context(), out, s)
		if got := <-out; got != want {
			t.Errorf("%v becomes %v, want %v", s, got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	forward(ctx, make(chan router.Signal), syscall.SIGTERM) // nobody reads any more: it must return
}

func TestNewLogger(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"text": "level=WARN msg=hello site=london", "json": `"level":"WARN","msg":"hello","site":"london"`} {
		var b bytes.Buffer
		log, err := newLogger(&b, format, "warn")
		if err != nil {
			t.Fatal(err)
		}
		log.Info("hidden")
		log.Warn("hello", slog.String("site", "london"))
		if strings.Contains(b.String(), "hidden") || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %s", format, b.String())
		}
	}
}

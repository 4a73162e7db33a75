package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"meshrouter/control"
	"meshrouter/router"
)

func (a *app) runCommand() *cobra.Command {
	var opts router.Options
	var format, level string
	cmd := &cobra.Command{
		Use:   "run --mesh FILE --site NAME",
		Short: "Be one site's router, in the foreground",
		Long: `Be one site's router, in the foreground; logs go to standard error.

  SIGHUP            read the mesh file again; links that did not change are not touched
  SIGTERM, SIGINT   tell the peers, take routes and device away, exit
  SIGUSR2           exit, but leave SAs, device and routes for the next process: a restart that no
                    peer notices`,
		Example: "  meshrouter run --mesh /etc/meshrouter/mesh.yaml --site london",
		Args:    noArgs,
		RunE: a.begin(func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"wireguard", "water"}, opts.TUNBackend) {
				return usage("--tun-backend is wireguard or water, not %q", opts.TUNBackend)
			}
			var err error
			if opts.Logger, err = newLogger(a.stderr, format, level); err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			opts.Signals, opts.Version = signals(ctx), version()
			return router.Run(ctx, opts)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&opts.MeshFile, "mesh", "", "the mesh file")
	f.StringVar(&opts.Site, "site", "", "the site whose router this is")
	f.StringVar(&opts.Socket, "socket", "", "the control socket (default "+control.Dir+"/SITE.sock)")
	f.StringVar(&opts.State, "state", "", "what a restart takes over: keys and sequence numbers, so keep it on a tmpfs (default "+control.Dir+"/SITE.state, in /dev/shm where /run is on a disk)")
	f.StringVar(&opts.KeyLog, "keylog", "", "a directory to write all session keys to, for Wireshark")
	f.StringVar(&opts.TUNBackend, "tun-backend", "wireguard", "wireguard (batches and offloads) or water (plain)")
	f.StringVar(&format, "log-format", "text", "text or json")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	for _, name := range []string{"mesh", "site"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	l, ok := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[strings.ToLower(level)]
	if !ok {
		return nil, usage("--log-level is debug, info, warn or error, not %q", level)
	}
	opts.Level = l
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	}
	return nil, usage("--log-format is text or json, not %q", format)
}

// signals translates what the kernel delivers until ctx ends.
func signals(ctx context.Context) <-chan router.Signal {
	in := make(chan os.Signal, 4)
	out := make(chan router.Signal, 4)
	signal.Notify(in, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	go func() { // ends with ctx
		defer signal.Stop(in)
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-in:
				forward(ctx, out, s)
			}
		}
	}()
	return out
}

func forward(ctx context.Context, out chan<- router.Signal, s os.Signal) {
	what := router.Stop
	switch s {
	case syscall.SIGHUP:
		what = router.Reload
	case syscall.SIGUSR2:
		what = router.Leave
	}
	select {
	case out <- what:
	case <-ctx.Done():
	}
}

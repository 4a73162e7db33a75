package main

import (
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"meshrouter/bench"
)

func (a *app) benchCommand() *cobra.Command {
	opts := bench.Options{Version: version(), Stdout: a.stdout, Stderr: a.stderr}
	cmd := &cobra.Command{
		Use:   "bench [" + strings.Join(bench.Parts(), "|") + "]...",
		Short: "Measure this machine: ciphers, routes, handshakes, scale, tunnels",
		Long: `Measure this machine beside what one would use instead, in one interleaved run: ciphers beside Go's,
OpenSSL's and Intel's, tunnels beside wireguard-go and strongSwan; besides route calculation, handshakes,
many tunnels and routes. Without an argument everything but the profile is measured. The tunnel and the
profile need Linux, root and iperf3; what else is missing is named in the figures, with the reason.`,
		Example:   "  meshrouter bench crypto spf\n  sudo meshrouter bench --quick --json",
		ValidArgs: bench.Parts(),
		Args: func(_ *cobra.Command, args []string) error {
			for i, part := range args {
				if !slices.Contains(bench.Parts(), part) || slices.Contains(args[:i], part) {
					return usage("bench takes each of %s at most once, not %q", strings.Join(bench.Parts(), ", "), part)
				}
			}
			return nil
		},
		RunE: a.begin(func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			opts.Parts = args
			return bench.Run(ctx, opts)
		}),
	}
	cmd.Flags().BoolVar(&opts.Quick, "quick", false, "end within 50 seconds")
	cmd.Flags().IntVar(&opts.Rounds, "rounds", 0, "at most so many rounds (default 15)")
	cmd.Flags().BoolVar(&opts.JSON, "json", false, "print one JSON document")
	return cmd
}

package main

import (
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"meshrouter/lab"
)

func (a *app) labCommand() *cobra.Command {
	opts := lab.Options{Stdout: a.stdout, Stderr: a.stderr}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Build a mesh in network namespaces and prove it stage by stage",
		Long: `Build a mesh in network namespaces and prove it stage by stage: IKE, ESP, GRE, OSPF, pings, the
packets on the wire, a silent cut of a link and its mending. Everything is taken away at the end,
also after Ctrl-C, and what a killed run left is taken away at the start. Needs Linux and root.

Exit code 0: every stage held.`,
		Example: "  sudo meshrouter lab\n  sudo meshrouter lab --json --mesh mesh.yaml\n  sudo meshrouter lab --keep",
		Args:    noArgs,
		RunE: a.begin(func(cmd *cobra.Command, _ []string) error {
			if err := knownFault(opts.Sabotage); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return lab.Run(ctx, opts)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&opts.Mesh, "mesh", "", "a mesh file (default the triangle of examples/triangle.yaml)")
	f.BoolVar(&opts.JSON, "json", false, "print one JSON document")
	f.BoolVar(&opts.Keep, "keep", false, "leave it running and print how to look around")
	f.BoolVar(&opts.Down, "down", false, "take away what --keep or a killed run left, and do nothing else")
	f.StringVar(&opts.Save, "save", "", "a directory that gets logs, capture and keys")
	f.BoolVar(&opts.Verbose, "verbose", false, "log at debug level and show what is waited for")
	f.StringVar(&opts.Sabotage, "sabotage", "", "build a fault in; the run must then fail: "+faultNames())
	return cmd
}

func knownFault(name string) error {
	if name != "" && !slices.ContainsFunc(lab.Faults(), func(f lab.Fault) bool { return f.Name == name }) {
		return usage("there is no fault %q: there are %s", name, faultNames())
	}
	return nil
}

func faultNames() string {
	var names []string
	for _, f := range lab.Faults() {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

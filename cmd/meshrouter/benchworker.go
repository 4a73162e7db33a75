package main

import (
	"errors"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"meshrouter/bench"
)

// benchWorkerCommand is how the benchmarks start this program again as one of their helpers.
func (a *app) benchWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use: bench.WorkerCommand, Hidden: true, DisableFlagParsing: true,
		RunE: a.begin(func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 && args[0] == bench.RouterWorker {
				return a.profiled(cmd, args[1], args[2:])
			}
			return bench.Worker(args, os.Stdin, a.stdout)
		}),
	}
}

// profiled executes another command and writes where its processor time went to a file.
func (a *app) profiled(cmd *cobra.Command, file string, args []string) (err error) {
	f, err := os.Create(file) //nolint:gosec // the benchmark's own
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	root := a.root()
	root.SetArgs(args)
	return root.ExecuteContext(cmd.Context())
}

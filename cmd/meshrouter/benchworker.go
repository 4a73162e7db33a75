package main

import (
	"os"

	"github.com/spf13/cobra"

	"meshrouter/bench"
)

// benchWorkerCommand is how the benchmarks start this program again as one of their helpers.
func (a *app) benchWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use: bench.WorkerCommand, Hidden: true, DisableFlagParsing: true,
		RunE: a.begin(func(_ *cobra.Command, args []string) error { return bench.Worker(args, os.Stdin, a.stdout) }),
	}
}

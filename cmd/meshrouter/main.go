// Command meshrouter joins sites by GRE in ESP with its own IKEv1 and OSPF, from one mesh file.
//
//	check   reads the mesh file and its secrets, and says what is wrong
//	run     is one site's router, in the foreground
//	show    asks a running router: neighbors, routes, flows, SAs
//	lab     builds a mesh in network namespaces and proves it stage by stage
//	bench   measures this machine
//
// The commands hold no logic: they read flags and call a package. Exit codes: 0 done, 1 it failed,
// 2 a bad flag or file, and nothing was changed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"meshrouter/control"
	"meshrouter/mesh"
	"meshrouter/router"
)

func main() {
	a := &app{stdout: os.Stdout, stderr: os.Stderr, runDir: control.Dir}
	os.Exit(a.execute(context.Background(), os.Args[1:]))
}

// An app is one call of the program with what it touches of the outside.
type app struct {
	stdout, stderr io.Writer
	runDir         string // where sockets are looked for
	begun          bool   // flags and arguments are good
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// A usageError is a bad value of a flag or argument.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// execute runs the command line and returns the exit code. An error is one line, the problems of a
// file one line each.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if problems, ok := errors.AsType[mesh.Problems](err); ok {
		fmt.Fprintln(a.stderr, problems) //nolint:errcheck // nobody left to tell
		return exitUsage
	}
	text := strings.TrimSpace(strings.ReplaceAll(err.Error(), "\n", "; "))
	fmt.Fprintln(a.stderr, "meshrouter:", text) //nolint:errcheck // nobody left to tell
	_, bad := errors.AsType[usageError](err)
	_, flag := errors.AsType[*router.FlagError](err)
	if bad || flag || !a.begun {
		return exitUsage
	}
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "meshrouter",
		Short:         "A router that joins sites by GRE in ESP, with IKEv1 and OSPF",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          a.noSuchCommand,
		RunE: func(*cobra.Command, []string) error {
			return usage("name a command: run, check, show, lab, bench or version (meshrouter help explains them)")
		},
		SuggestionsMinimumDistance: 2,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(a.runCommand(), a.checkCommand(), a.showCommand(), a.labCommand(), a.benchCommand(), a.benchWorkerCommand(), a.versionCommand())
	return root
}

// begin wraps a command's work: flags and arguments are read, and an error from here on is not the
// caller's unless it says so.
func (a *app) begin(work func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.begun = true
		return work(cmd, args)
	}
}

// noSuchCommand says it in one line.
func (a *app) noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usage("there is no command %q: did you mean %s?", args[0], near[0])
	}
	return usage("there is no command %q: meshrouter help lists them", args[0])
}

// noArgs is for commands that have flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments, but there is %q (%s --help)", cmd.Name(), args[0], cmd.CommandPath())
	}
	return nil
}

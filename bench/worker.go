package bench

import (
	"fmt"
	"io"
	"os/exec"
)

// WorkerCommand is the hidden command of meshrouter under which the benchmarks start it again: with the
// name of a worker and its arguments.
const WorkerCommand = "bench-worker"

// RouterWorker is the helper that the command itself is: FILE ARGUMENT... runs another command of
// meshrouter and writes its CPU profile to FILE.
const RouterWorker = "router"

// Worker is what the hidden command does: one of the benchmarks' helpers, in a process of its own.
func Worker(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%s is how bench starts its helpers; there is nothing to see", WorkerCommand)
	}
	switch args[0] {
	case CipherWorker:
		return serveCiphers(in, out)
	case SendWorker:
		return serveSender(args[1:], in, out)
	case ReceiveWorker:
		return serveReceiver(args[1:], in, out)
	}
	return fmt.Errorf("there is no worker %q", args[0])
}

// helper is the command that starts a worker.
func helper(binary string, args ...string) *exec.Cmd {
	return exec.Command(binary, append([]string{WorkerCommand}, args...)...) //nolint:gosec,noctx // our own binary; it ends with its input
}

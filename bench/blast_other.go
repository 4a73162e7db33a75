//go:build !linux

package bench

import (
	"fmt"
	"io"
	"runtime"
)

func serveSender([]string, io.Reader, io.Writer) error {
	return fmt.Errorf("%s works on Linux, and this is %s", SendWorker, runtime.GOOS)
}

func serveReceiver([]string, io.Reader, io.Writer) error {
	return fmt.Errorf("%s works on Linux, and this is %s", ReceiveWorker, runtime.GOOS)
}

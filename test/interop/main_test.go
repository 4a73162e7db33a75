//go:build interop

package interop

import (
	"testing"

	"meshrouter/test/peer"
)

func TestMain(m *testing.M) { peer.Main(m) }

package testvectors_test

import (
	"strings"
	"testing"

	"meshrouter/internal/testvectors"
)

func TestPathFindsSharedVectors(t *testing.T) {
	t.Parallel()
	b := testvectors.Read(t, testvectors.Path(t, "README.md"))
	if !strings.Contains(string(b), "Test vectors") {
		t.Errorf("README.md of ../shared/vectors begins with %.40q", b)
	}
}

func TestRootHoldsModule(t *testing.T) {
	t.Parallel()
	b := testvectors.Read(t, testvectors.Root(t)+"/go.mod")
	if !strings.HasPrefix(string(b), "module meshrouter\n") {
		t.Errorf("go.mod begins with %.40q", b)
	}
}

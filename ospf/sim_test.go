package ospf_test

import (
	"flag"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"meshrouter/ospf/ospfsim"
)

var update = flag.Bool("update", false, "rewrite the expected files of the scenarios")

// TestScenarios runs testdata/scenarios; package ospfsim says what the commands do. With
// -update the expected files are rewritten: read the difference.
func TestScenarios(t *testing.T) {
	t.Parallel()
	do := func(name string) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			sc, ok := ts.Value(scriptKey{}).(**ospfsim.Script)
			if !ok {
				ts.Fatalf("no script")
			}
			if name == "topology" {
				var err error
				*sc, err = ospfsim.NewScript(ts.ReadFile(args[0]), 1)
				ts.Check(err)
				return
			}
			err := (*sc).Do(ts.Stdout(), append([]string{name}, args...)...)
			if neg == (err == nil) {
				ts.Fatalf("%s %v: %v", name, args, err)
			}
		}
	}
	commands := map[string]func(*testscript.TestScript, bool, []string){}
	for _, name := range []string{
		"topology", "run", "cut", "mend", "down", "up", "link", "set", "id", "remove", "crash", "restart", "shutdown", "show", "packets",
	} {
		commands[name] = do(name)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scenarios",
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Cmds:                commands,
		Setup: func(e *testscript.Env) error {
			e.Values[scriptKey{}] = new(*ospfsim.Script)
			return nil
		},
	})
}

type scriptKey struct{}

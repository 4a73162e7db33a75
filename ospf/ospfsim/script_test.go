package ospfsim_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"meshrouter/ospf/ospfsim"
)

func ExampleScript() {
	sc, err := ospfsim.NewScript(`
		router london 10.255.0.1 stub 10.1.0.0/16
		router tokyo 10.255.0.2 stub 10.2.0.0/16
		tunnel london tokyo cost 10 delay 120ms hello 1s dead 4s`, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, line := range []string{"run 5s", "show london routes", "cut london tokyo", "run 5s", "show london neighbors"} {
		if err := sc.Do(os.Stdout, strings.Fields(line)...); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 10.1.0.0/16 local lan0
	// 10.2.0.0/16 11 via tokyo 10.254.0.2
	// 10.254.0.0/30 local tokyo
	// tokyo 10.255.0.2 Down no hello for 4s
}

func TestTopologyErrors(t *testing.T) {
	t.Parallel()
	for topology, want := range map[string]string{
		"router r1":                                 "want router",
		"router r1 ten":                             "dotted quad",
		"router r1 1.1.1.1 stub x":                  "ParsePrefix",
		"router r1 1.1.1.1 cost 4":                  "behind a stub",
		"router r1 1.1.1.1 mtu 4":                   "want stub or cost",
		"tunnel r1 r2":                              "between routers above",
		"area x":                                    "dotted quad",
		"minlsinterval x":                           "invalid duration",
		"router a 1.1.1.1\ntunnel a a hello x":      "invalid duration",
		"router a 1.1.1.1\ntunnel a a colour red":   "no such option",
		"router a 1.1.1.1\ntunnel a a key meshkey":  "id:secret",
		"router a 1.1.1.1\ntunnel a a left.hello":   "want a value",
		"router a 1.1.1.1\ntunnel a a left.mtu big": "line 2",
	} {
		if _, err := ospfsim.NewScript(topology, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", topology, err, want)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	t.Parallel()
	sc, err := ospfsim.NewScript("router a 1.1.1.1\nrouter b 1.1.1.2\ntunnel a b", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"run", "run far", "show c routes", "show a", "show a nothing", "cut a c", "dance a b", "set a b colour red", "id a x"} {
		if err := sc.Do(os.Stderr, strings.Fields(line)...); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}

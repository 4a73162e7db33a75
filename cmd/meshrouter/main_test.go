package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"meshrouter/control"
	"meshrouter/status"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts; read each difference")

// TestMain makes `exec meshrouter` in the scripts this program, which looks for sockets in $RUN.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"meshrouter": func() {
			a := &app{stdout: os.Stdout, stderr: os.Stderr, runDir: os.Getenv("RUN")}
			os.Exit(a.execute(context.Background(), os.Args[1:]))
		},
	})
}

// TestScripts runs the command-line tests of testdata/script.
//
//	serve SITE    answers on $RUN/SITE.sock as london's router in the lab would
//	stale SITE    leaves a socket there that nobody listens on
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			run, err := os.MkdirTemp("", "mr") //nolint:usetesting // shorter: a unix socket's path has about 100 bytes
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(run) })
			env.Setenv("RUN", run)
			examples, err := filepath.Abs(filepath.Join("..", "..", "examples"))
			env.Setenv("EXAMPLES", examples)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve,
			"stale": stale,
		},
	})
}

func socketArg(ts *testscript.TestScript, neg bool, args []string) string {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve|stale SITE")
	}
	return filepath.Join(ts.Getenv("RUN"), args[0]+".sock")
}

// serve runs a control server until the script ends.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	l, err := control.Listen(socketArg(ts, neg, args))
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, control.Handler(views())) }()
	ts.Defer(func() {
		cancel()
		if err := <-done; err != nil {
			ts.Logf("serve: %v", err)
		}
	})
}

func stale(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketArg(ts, neg, args), Net: "unix"})
	ts.Check(err)
	l.SetUnlinkOnClose(false)
	ts.Check(l.Close())
}

// views are documents as a router makes them.
func views() map[string]control.View {
	two, tunnel := netip.MustParseAddr("0.0.0.2"), netip.MustParseAddr("10.255.0.2")
	fixed := func(doc any) control.View { return func(context.Context) (any, error) { return doc, nil } }
	return map[string]control.View{
		"neighbors": fixed(status.NeighborsDoc{Neighbors: []status.Neighbor{{
			ID: two, Priority: 1, State: "FULL", InterfaceState: "P2P", DeadInSeconds: 3, Address: tunnel, Interface: "gre0", UptimeSeconds: 60,
		}}}),
		"rib": fixed(status.RIBDoc{Routes: []status.Route{{
			Destination: netip.MustParsePrefix("10.2.0.0/24"), Nexthop: tunnel, PathType: "Intra-Area", Type: "Network", Cost: 20, UptimeSeconds: 59,
		}}}),
		"fib": fixed(status.FIBDoc{Entries: []status.FIBEntry{
			{Destination: netip.MustParsePrefix("10.2.0.0/24"), Nexthop: tunnel, Origin: "ospf", Priority: 32, InRIB: true, InFIB: true},
		}}),
		"flows": fixed(status.FlowsDoc{Flows: []status.Flow{}}),
		"sad": fixed(status.SADDoc{SAs: []status.SA{{
			SPI: 0xabcd, Mode: "tunnel", From: netip.MustParseAddrPort("192.0.2.1:0"), To: netip.MustParseAddrPort("192.0.2.2:0"),
			Encryption: "3des-cbc", Authentication: "hmac-sha1",
		}}}),
		"summary":  fixed(status.SummaryDoc{RouterID: two}),
		"counters": func(context.Context) (any, error) { return nil, errors.New("the router is stopping") },
	}
}

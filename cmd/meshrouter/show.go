package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"meshrouter/control"
	"meshrouter/status"
)

func (a *app) showCommand() *cobra.Command {
	var socket, site string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [VIEW]",
		Short: "Ask a running router",
		Long: `Ask a running router. The views, which can be shortened as in ospfctl:

  summary      as ospfctl show (also without VIEW)
  neighbors    as ospfctl show neighbor, with the reason why one is not FULL
  interfaces   as ospfctl show interfaces, with the last OSPF packet refused on each
  database     as ospfctl show database
  rib          as ospfctl show rib
  fib          as ospfctl show fib; ! marks what OSPF, the router and the kernel do not agree on
  flows        as ipsecctl -s flow
  sad          as ipsecctl -s sa
  ike          negotiations
  tunnels      addresses, traffic, and the sum of the MTU
  counters     every event and drop that has a name`,
		Example: "  meshrouter show neighbor\n  meshrouter show fib --site london\n  meshrouter show sad --json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("show takes one view, not %s", strings.Join(args, " "))
			}
			return nil
		},
		ValidArgs: status.Views(),
		RunE: a.begin(func(cmd *cobra.Command, args []string) error {
			view, err := viewNamed(append(args, "summary")[0])
			if err != nil {
				return err
			}
			path, err := a.socketFor(socket, site)
			if err != nil {
				return err
			}
			return a.show(cmd, control.Dial(path), view, asJSON)
		}),
	}
	cmd.Flags().StringVar(&socket, "socket", "", "the router's control socket (default "+control.Dir+"/SITE.sock)")
	cmd.Flags().StringVar(&site, "site", "", "the router's site, where several run")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the JSON document")
	return cmd
}

func viewNamed(word string) (string, error) {
	switch found := status.Resolve(word); len(found) {
	case 0:
		return "", usage("there is no view %q: there are %s", word, strings.Join(status.Views(), ", "))
	case 1:
		return found[0], nil
	default:
		return "", usage("%q can be %s: write more of it", word, strings.Join(found, " or "))
	}
}

// socketFor finds the router: by flag, or the only one there is.
func (a *app) socketFor(socket, site string) (string, error) {
	switch {
	case socket != "" && site != "":
		return "", usage("name the router by --socket or by --site, not by both")
	case socket != "":
		return socket, nil
	case site != "":
		return filepath.Join(a.runDir, site+".sock"), nil
	}
	found := control.Sockets(a.runDir)
	switch len(found) {
	case 0:
		if _, err := os.ReadDir(a.runDir); errors.Is(err, fs.ErrPermission) {
			return "", fmt.Errorf("%s cannot be read: run this as the user who runs the router, or as root", a.runDir)
		}
		return "", fmt.Errorf("no meshrouter runs here (%s holds no socket): start it with meshrouter run --mesh FILE --site SITE, or name its --socket", a.runDir)
	case 1:
		return found[0], nil
	}
	sites := make([]string, len(found))
	for i, path := range found {
		sites[i] = strings.TrimSuffix(filepath.Base(path), ".sock")
	}
	return "", usage("several routers run here: choose one with --site: %s", strings.Join(sites, ", "))
}

func (a *app) show(cmd *cobra.Command, from *control.Client, view string, asJSON bool) error {
	var out bytes.Buffer
	if asJSON {
		var raw json.RawMessage
		if err := from.Get(cmd.Context(), view, &raw); err != nil {
			return err
		}
		if err := json.Indent(&out, raw, "", "  "); err != nil {
			return err
		}
		out.WriteByte('\n')
	} else {
		doc := status.New(view)
		if err := from.Get(cmd.Context(), view, doc); err != nil {
			return err
		}
		doc.Table(&out)
	}
	_, err := a.stdout.Write(out.Bytes())
	return err
}

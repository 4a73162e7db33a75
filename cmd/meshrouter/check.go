package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"meshrouter/mesh"
)

func (a *app) checkCommand() *cobra.Command {
	var site string
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Read a mesh file and its secrets, and say what is wrong",
		Long: `Read a mesh file and its secrets, and say what is wrong: every problem on a line of its own, as
file:line:column: what is wrong: what to write instead. Nothing else is done.

Exit code 0: the file can be run. 2: it cannot.`,
		Example: "  meshrouter check mesh.yaml\n  meshrouter check --site london /etc/meshrouter/mesh.yaml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("name one mesh file: meshrouter check FILE")
			}
			return nil
		},
		RunE: a.begin(func(_ *cobra.Command, args []string) error {
			load := mesh.LoadFile
			if site != "" {
				load = func(path string) (*mesh.Inventory, error) { return mesh.LoadSite(path, site) }
			}
			inv, err := load(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s: mesh %s, %d sites, %d links: good\n", args[0], inv.Name, len(inv.Sites), len(inv.Links))
			return err
		}),
	}
	cmd.Flags().StringVar(&site, "site", "", "ask only for the pre-shared keys of this site's links")
	return cmd
}

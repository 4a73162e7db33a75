// Package mesh reads the one file that describes a whole mesh and derives what each site's router
// needs to know.
//
//	mesh.yaml ─┐  parse (file:line:column)   check (all problems)   derive
//	secrets ───┴────────► tree ─────────────────► Inventory ─────────► Ends(site)
//
// Nothing here depends on the order of the file: the tunnel network of two sites is a function of
// their numbers alone, a link's name of their names, so adding a site renumbers nothing.
// What an old peer insists on (identity types, addresses, MTU in Database Description packets,
// who initiates, lifetimes) comes from the profile of its `system` and can be set by link.
//
// Read inventory.go (the types), profile.go (the habits of peers), tree.go (positions and typed
// access to the YAML tree), load.go (from the tree to the inventory), check.go (what must hold
// between sites), secrets.go, diff.go.
//
// Algorithms are the numbers of the IPsec registries (RFC 2407, 4.4.4 and 4.5; RFC 2409,
// Appendix A). YAML is read strictly: unknown and repeated keys, anchors, aliases and tags are
// errors.
package mesh

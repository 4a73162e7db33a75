// Package status defines the documents that a running router answers to `meshrouter show`, and
// prints them the way an OpenBSD administrator knows.
//
//	router ── XxxDoc ──► control socket ── JSON ──► show --json
//	                                          └───► XxxDoc.Table(w) ──► show
//
// One type per view, with a plural list inside: {"neighbors": [...]}. A unit stands in the name
// (dead_in_seconds), times are absolute only where a life begins or ends. The tables follow
// ospfctl(8) and ipsecctl(8) column by column; what they do not know (the reason why a neighbor is
// not FULL, the MTU's sum, a row that the kernel lacks) stands behind the known columns or in
// views of our own.
//
// Read documents.go first, then ospfctl.go, ipsecctl.go and tables.go. Package status holds no
// state and imports no protocol.
package status

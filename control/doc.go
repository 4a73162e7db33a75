// Package control is the way into a running router: HTTP over a unix socket.
//
//	meshrouter show ── Client.Get("neighbors") ──► SITE.sock ──► Handler ──► views["neighbors"]
//	                ◄────────────── JSON document ─────────────────────────┘
//
// The socket belongs to whoever runs the router (mode 0600), and that is the only access control.
// GET /v1/VIEW answers with the view's JSON document, GET /v1 lists the views; an error is
// {"error": "..."} with a matching HTTP status. A socket that nobody answers on is taken over, a
// live one is refused.
//
// Read listen.go, handler.go, client.go. Documents are those of package status, but nothing here
// depends on them.
package control

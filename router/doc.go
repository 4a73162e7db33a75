// Package router composes a running meshrouter from its parts.
//
//	         mesh file ──► plan ──► ike.Configure, ospf.Configure, tunnels, kernel addresses
//	                                     │
//	underlay ─ IKE ──► ike loop ── SAs ──► dataplane ◄── routes ── ospf loop ◄── OSPF packets
//	                       │                  │                        │
//	                       └── peer up/down ──┼───────────────────────►│
//	                                          ▼                        ▼
//	                    state file: counters, blobs, sequence      kernel routes
//
// It owns no protocol rule. It translates between the types of packages that do not know each
// other, runs the two protocol loops, publishes their results to the data plane and the kernel,
// keeps the state that outlives a restart, reloads the mesh file, and answers `show`.
//
// Read router.go (start and end), plan.go and translate.go (configuration), sas.go (what IKE asks
// for), routes.go (what OSPF asks for), reload.go, then views.go (what `show` sees).
package router

// Package ospf is an OSPFv2 speaker (RFC 2328) that does no I/O and reads no clock: time, packets and
// configuration go into Instance.Step, packets, routes and events come out of it.
//
//	          ┌─ hello ──► neighbor machine ─► exchange (DD, requests) ─┐
//	Packet ─► auth                                                      ▼
//	          └─ update, ack ───────────► flood ◄──────────────────── lsdb ─► spf ─► routes
//	                                        ▲                           ▲
//	Configure, InterfaceUp ─► interface ─► originate (router LSA) ─► aging (one heap of timers)
//
// One area, point-to-point interfaces and passive stub networks. LSAs of the types 1 to 5, 7 and 9 to 11
// are kept and flooded as the bytes they came in; types 1 to 5 take part in the route calculation.
//
// Reading order: ospf.go (what crosses the boundary), instance.go (one Step), packet.go and auth.go,
// interface.go, neighbor.go (the table of 10.3), exchange.go, flood.go, lsdb.go, aging.go,
// originate.go, spf.go, routes.go, status.go. Codecs stand in a file each: hello.go, dd.go, lsrequest.go,
// lsupdate.go, lsack.go, lsa.go and the LSA bodies.
//
// RFC 2328 (OSPFv2), 5250 (opaque LSAs: kept and flooded, none made), 1793 (the DoNotAge bit is understood;
// no demand circuits), 3101 (type 7 kept). Deviations, each said again where it happens:
//   - a larger Interface MTU in a Database Description is accepted unless the interface is strict (10.6);
//   - an interface's first Hello and the answer to a new neighbor leave at once (9.5);
//   - the calculation takes our own links from the live adjacencies instead of our router-LSA (16.1);
//   - a first change is announced at once, the distance of repeated ones grows from MinLSArrival to MinLSInterval (12.4),
//     and a few instances are taken within one MinLSArrival (13 (5)(a)): an adjacency does not wait for either;
//   - an LSA that follows its predecessor closely is repeated before RxmtInterval (13.6);
//   - the database is bounded; what does not fit is acknowledged and not kept;
//   - the checksums of stored LSAs are not verified a second time (CheckAge, 14).
package ospf

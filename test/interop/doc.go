// Package interop tests meshrouter against real peers, as root, in network namespaces. Its tests are
// built with the tag interop; make test runs them, and nothing here is ever skipped.
//
//	ospf_test.go         the OSPF speaker on a veth:   FRR ospfd, BIRD
//	strongswan_test.go   the whole router:             strongSwan with ESP in userspace, BIRD over GRE
//	ike_test.go          IKE and ESP alone:            strongSwan: suites, rekeys, mismatches, DPD, DELETE; ike-scan
//	guest_test.go        the whole router:             a Linux machine with kernel ESP and GRE, strongSwan, FRR
//	paths_test.go        bulk data by every way:       two of our routers; the checks that the others use too
//	pathmtu_test.go      a narrow and silent path:     two of our routers
//	load_test.go         three times what fits:        two of our routers
//
// speaker_test.go is the smallest shell around ospf.Instance: a loop, protocol-89 sockets and kernel
// routes. router_test.go asks the real binary what it thinks, and tshark what was on the wire. Package
// test/peer starts and stops everything else. RFC 2328 is meant by section numbers.
package interop

// Package interop tests meshrouter against real peers, as root, in network namespaces. Its tests are
// built with the tag interop; make test runs them, and nothing here is ever skipped.
//
//	ospf_test.go   the OSPF speaker on a veth against FRR ospfd and BIRD
//
// speaker_test.go is the smallest shell around ospf.Instance: a loop, protocol-89 sockets and kernel
// routes. Package test/peer starts and stops everything else. RFC 2328 is meant by section numbers.
package interop

// Package lab proves a mesh on one machine: every site of a mesh file in a network namespace of its
// own, a host on the LAN behind it, and a simulated internet between them.
//
//	host ──lan0 [site london] wan0 ──┐                          each [ ] is a namespace
//	host ──lan0 [site tokyo ] wan0 ──┤ [internet: bridge, nftables]  ◄── capture
//	host ──lan0 [site osaka ] wan0 ──┘
//
// The sites run the real binary; nothing stands in for a router, a kernel or a packet. Run goes
// through its stages in order (netns, ike, esp, gre, ospf, ping, wire, cut, mend, cleanup) and
// stops at the first that does not hold; cleanup always runs. No interface or route is ever made
// outside the run's own namespaces.
//
// The internet gives each site one address and no default route. Frames are captured where a site
// hands them over, before the bridge can drop one, so the capture is what the sites really sent. A
// cut drops packets inside the bridge: whoever sends sees no error, no ICMP and no link going down.
//
// A run owns a directory under /run/meshrouter-lab with its process id and start time. The next
// run cleans up after one that was killed and touches nothing of one that lives.
//
// Read lab.go and report.go, stages_linux.go (what must hold), internet_linux.go (the topology),
// probe_linux.go and loss.go (how an interruption is measured), capture_linux.go, wire.go and
// tshark_linux.go (the proof on the wire), rundir_linux.go, sabotage.go (faults for its own tests).
package lab

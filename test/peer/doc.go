// Package peer runs real routers beside the code under test: strongSwan, FRR, BIRD and a whole Linux
// site in QEMU, each in a network namespace (or machine) of its own on one Ethernet segment.
//
//	test process           namespaces of one Net, gone with the test
//	┌────────────┐   Do    ┌────────┐  ┌─────┐  ┌──────┐  ┌────────────┐  ┌───────┐
//	│ speaker or │ ──────► │   r    │  │ frr │  │ bird │  │ strongswan │  │ guest │
//	│ meshrouter │         └───┬────┘  └──┬──┘  └──┬───┘  └─────┬──────┘  └───┬───┘
//	└────────────┘         ════╧══════════╧════════╧════════════╧═════════════╧════ br0
//
// The work is done by the scripts of test/peers, which can be used by hand as well; this package
// gives a Net a prefix of its own, starts and stops what a test asks for, waits for events with a
// deadline, and shows the peers' logs when a test has failed. What a killed test run left behind is
// swept by the next one.
//
// Start with NewNet. Everything needs root and the packages of test/install.
package peer

// Package sim runs protocol cores against each other in simulated time, over links that lose, delay,
// duplicate and reorder.
//
//	        ┌────────── World ──────────┐
//	Send ─► │ Link: delay, loss, … ─┐   │        one goroutine, one seed, one heap of
//	After ─►│ heap (time, sequence) ├──►│ Node    (time, sequence, node, input): a seed that
//	        │ node.Deadline ────────┘   │        fails replays exactly
//	        └─── Check after each step ─┘
//
// A Node is a core with the shell that a test gives it: it takes inputs, calls its core, and turns outputs into
// Send and After. Nothing sleeps: a simulated day takes as long as its computations.
//
// Start with World and Node.
package sim

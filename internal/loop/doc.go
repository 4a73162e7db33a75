// Package loop runs a protocol core: the one goroutine that owns it, its mailbox and its timer.
//
//	Post(in) ──► mailbox ──┐                         ┌──► handle(outputs), in order
//	Call(f)  ──► mailbox ──┼──► Step(now, in, out) ──┤
//	Deadline ──► timer ────┘                         └──► Deadline() sets the timer again
//
// A core (ike.Engine, ospf.Instance) is a function of time and input; it knows neither goroutines
// nor clocks. Loop gives it both, and only the goroutine of Run ever touches the core: an input
// comes by Post, a question (status for `show`) by Call, which runs a function between two steps.
//
// Senders never block: two loops that post to each other, or a loop that posts to itself from
// handle, cannot wait for each other. What could fill the mailbox without bound (packets from the
// wire) is named by Limit and dropped, with a counter, above its number; protocols repeat
// themselves. What must not be lost (configuration, interface up and down, results of
// computations) is bounded by the number of its sources.
//
// Timing: outputs of a step are handled before the next step, and Deadline is looked at after each
// step, so that a full mailbox cannot hold back a Hello.
//
// Start with Loop and Run.
package loop

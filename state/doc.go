// Package state keeps what must survive the process but not the boot: sequence numbers, replay
// windows, key material of SAs, and OSPF's cryptographic sequence number.
//
// It is one file, mapped into memory and changed in place, so that even a process killed in the
// middle leaves it right for the next one. It grows by segments of 64 KB, each mapped on its own:
// memory that was handed out never moves.
//
//	segment 0: header │ magic, version, boot id, sequence number
//	segment n: counters │ slot │ slot │ …       a slot: key and esp.Counters
//	segment m: blobs    │ pair │ pair │ …       a pair: two copies, each with generation and checksum
//
// A counters slot is used by storing its mark after everything else. A blob is written to the copy
// that is not valid, checksummed, and made valid by storing its generation; then the other copy is
// wiped, since blobs hold keys. So any instant has either the old blob or the new one.
//
// The file belongs in a tmpfs (/run/meshrouter/SITE.state, mode 0600): keys have no business on a
// disk, and numbers older than the boot may have been used since by another copy. A state of another
// boot or version is emptied with a remark; a file that is no state file at all is refused and left
// alone. One process at a time holds it, by flock.
//
// Read file.go, then counters.go and blob.go.
package state

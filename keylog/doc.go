// Package keylog writes session keys where Wireshark looks for them.
//
//	meshrouter run --keylog DIR            DIR/ikev1_decryption_table   cookie,key
//	          │ Open, IKEv1, ESP    ─►     DIR/esp_sa                   one row an SA and direction
//	          ▼                            DIR/preferences              decrypt, and check the ICV
//	WIRESHARK_CONFIG_DIR=DIR tshark -r capture.pcap    shows IKEv1 and what ESP carries, without a flag
//
// Whoever reads the directory reads the traffic: it is made with mode 0700, the files have 0600, and a
// directory that others can write to is refused. Several processes may share one directory, as the lab's
// routers do: each row is one append of a whole line. Rows are never removed; two ends of an SA that
// share a directory write the same row, which Wireshark does not mind.
//
// The tables are those of Wireshark 3 and 4, the names of the algorithms too. The interop test runs tshark
// on recorded captures.
package keylog

package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// errIperf is wrapped by what iperf3 complains about.
var errIperf = errors.New("iperf3")

// An iperfResult is what a run of iperf3 found.
type iperfResult struct {
	mbit        float64 // payload that arrived, 10^6 bits a second
	bytes       float64 // that arrived
	retransmits float64 // segments a second
	congestion  string
	version     string
}

// parseIperf reads the document of iperf3 --json (version 3.9 and later).
func parseIperf(document []byte) (r iperfResult, err error) {
	type sum struct {
		Seconds     float64 `json:"seconds"`
		Bytes       float64 `json:"bytes"`
		Retransmits float64 `json:"retransmits"`
	}
	var d struct {
		Error string `json:"error"`
		Start struct {
			Version string `json:"version"`
		} `json:"start"`
		End struct {
			Sent       sum    `json:"sum_sent"`
			Received   sum    `json:"sum_received"`
			Congestion string `json:"sender_tcp_congestion"`
		} `json:"end"`
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return r, fmt.Errorf("%w: %w", errIperf, err)
	}
	if d.Error != "" {
		return r, fmt.Errorf("%w: %s", errIperf, d.Error)
	}
	in, out := d.End.Received, d.End.Sent
	if in.Seconds <= 0 || out.Seconds <= 0 || in.Bytes <= 0 {
		return r, fmt.Errorf("%w: nothing arrived", errIperf)
	}
	r = iperfResult{
		mbit: in.Bytes * 8 / in.Seconds / 1e6, bytes: in.Bytes,
		retransmits: out.Retransmits / out.Seconds, congestion: d.End.Congestion,
		version: strings.TrimPrefix(d.Start.Version, "iperf "),
	}
	return r, nil
}

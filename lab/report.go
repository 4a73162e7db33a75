package lab

// A Report is the document of `meshrouter lab --json`.
type Report struct {
	Mesh   string  `json:"mesh"`
	Sites  int     `json:"sites"`
	Links  int     `json:"links"`
	Stages []Stage `json:"stages"` // those that ran, in order; cleanup always does
	// Failed is the first stage that did not hold.
	Failed string `json:"failed,omitempty"`
	Fault  string `json:"sabotage,omitempty"`

	CutLink    string   `json:"cut_link,omitempty"`
	PathBefore []string `json:"path_before,omitempty"` // site names
	PathDuring []string `json:"path_during,omitempty"`
	PathAfter  []string `json:"path_after,omitempty"`
	// RerouteMS is how long traffic was away after the cut, milliseconds, counted from probe
	// numbers; null when it was not measured or there is no other path.
	RerouteMS *float64 `json:"reroute_ms"`
	// Lost is how many probes the cut cost, at 100 a second; null when not measured.
	Lost *int `json:"lost"`
	// LostAtMend is how many probes the way back cost.
	LostAtMend *int `json:"lost_at_mend"`
	Restored   bool `json:"restored"` // traffic is back on the mended link
	OK         bool `json:"ok"`       // every stage held
}

// A Stage is one step of the lab.
type Stage struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Detail  string  `json:"detail"` // what was found, or what was wanted and not found
}

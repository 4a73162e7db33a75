package ike

import "testing"

// With `links: full` the link's own place is no help: suite and key stand elsewhere.
func TestChangeNamesThePlace(t *testing.T) {
	t.Parallel()
	c := PeerConfig{Source: "mesh.yaml:9:8", SuiteSource: "mesh.yaml:5:3", PSKSource: "mesh.secrets.yaml:2:6"}
	for what, want := range map[string]string{
		changeSuite: "; change suite at mesh.yaml:5:3, or the peer's",
		changePSK:   "; change the pre-shared key (psk) at mesh.secrets.yaml:2:6, or the peer's",
		"proxy ids": "; change proxy ids at mesh.yaml:9:8, or the peer's",
	} {
		if got := c.change(what); got != want {
			t.Errorf("change(%q) = %q, want %q", what, got, want)
		}
	}
	c.SuiteSource, c.PSKSource = "", ""
	for _, what := range []string{changeSuite, changePSK} {
		if got, want := c.change(what), "; change "+what+" at mesh.yaml:9:8, or the peer's"; got != want {
			t.Errorf("change(%q) = %q, want %q", what, got, want)
		}
	}
}

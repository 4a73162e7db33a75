package recordings

import "testing"

// TestAll counts what is there, so that a file that was not copied or a field that was renamed shows.
func TestAll(t *testing.T) {
	t.Parallel()
	frames, encrypted, plain, phase1, sas := 0, 0, 0, 0, 0
	all := Isakmpd(t)
	for _, r := range all {
		frames += len(r.Messages)
		phase1 += len(r.Phase1)
		for _, p := range r.Phase2 {
			sas += len(p.SAs)
		}
		for _, m := range r.Messages {
			if len(m.IKE) != int(m.Length) {
				t.Errorf("%s frame %d: %d bytes, header says %d", r.Scenario, m.Frame, len(m.IKE), m.Length)
			}
			if m.Encrypted() {
				encrypted++
			}
			if len(m.Plaintext) > 0 {
				plain++
			}
		}
	}
	t.Logf("%d recordings, %d frames, %d encrypted, %d with plaintext, %d ISAKMP SAs, %d ESP SAs", len(all), frames, encrypted, plain, phase1, sas)
	if len(all) != 57 || encrypted == 0 || plain != encrypted || phase1 == 0 || sas == 0 {
		t.Error("want 57 recordings with their secrets")
	}
	if sessions := StrongSwan(t); len(sessions) != 3 {
		t.Errorf("%d strongSwan sessions, want 3", len(sessions))
	}
	if r := Isakmpd(t, "wrong-psk")[0]; len(r.PSK) == 0 || string(r.Phase1[0].Of("192.0.2.1").SKEYID) == string(r.Phase1[0].Of("192.0.2.2").SKEYID) {
		t.Error("wrong-psk: the secrets do not differ by side")
	}
}

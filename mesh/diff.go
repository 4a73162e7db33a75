package mesh

import (
	"reflect"

	"meshrouter/internal/secret"
)

// Changed says whether a link's end differs in anything that its router acts on.
func Changed(old, new End) bool { return len(Diff(old, new)) > 0 }

// Diff names the fields of End that differ, in the order of the type: "Suite", "PSK", "Cost". Where
// the settings stand in the file does not count, nor what the sites have besides this link.
func Diff(old, new End) []string {
	a, b := comparable(old), comparable(new)
	var names []string
	if old.Site.Name != new.Site.Name {
		names = append(names, "Site")
	}
	if old.Peer.Name != new.Peer.Name {
		names = append(names, "Peer")
	}
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			names = append(names, va.Type().Field(i).Name)
		}
	}
	if !old.PSK.Equal(new.PSK) {
		names = append(names, "PSK")
	}
	if !sameAuth(old.Auth, new.Auth) {
		names = append(names, "Auth")
	}
	return names
}

// comparable leaves out what is compared otherwise or not at all.
func comparable(e End) End {
	e.Site, e.Peer, e.Source, e.PSKSource, e.Suite.Source, e.Suite.Name = nil, nil, "", "", "", ""
	e.PSK, e.Auth = secret.Key(nil), Auth{}
	return e
}

func sameAuth(a, b Auth) bool {
	if a.Type != b.Type || len(a.Keys) != len(b.Keys) {
		return false
	}
	for i := range a.Keys {
		if a.Keys[i].ID != b.Keys[i].ID || !a.Keys[i].Key.Equal(b.Keys[i].Key) {
			return false
		}
	}
	return true
}

package cpu

import "testing"

func TestFromEnvironment(t *testing.T) {
	for _, c := range []struct {
		value      string
		have, want Level
	}{
		{"", AVX512, AVX512}, {"", Portable, Portable},
		{"portable", AVX512, Portable}, {"avx2", AVX512, AVX2}, {"avx512", AVX512, AVX512},
		{"avx512", AVX2, AVX2}, {"avx2", Portable, Portable},
	} {
		if got := fromEnvironment(c.value, c.have); got != c.want {
			t.Errorf("%q on %v: %v, want %v", c.value, c.have, got, c.want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a misspelt level was taken")
		}
	}()
	fromEnvironment("avx3", AVX512)
}

//go:build !amd64

package des3

// Without AVX2 there are lanes of one word only, see lanes.

func transpose256(*[maxLanes]uint64) { panic("des3: no AVX2") }

func rounds256(*[maxLanes]uint64, *[keyBits * maxLanes / 64]uint64, *[48]uint16, int) {
	panic("des3: no AVX2")
}

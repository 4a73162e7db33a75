package des3

// implementations are all there are, the fastest first.
var implementations = []implementation{
	vbmi,
	avx2,
	portable,
}

package des3

// implementations are all there are, the fastest first.
var implementations = []implementation{ //nolint:gochecknoglobals // a table
	vbmi,
	avx2,
	portable,
}

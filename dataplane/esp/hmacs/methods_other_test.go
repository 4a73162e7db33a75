//go:build !amd64

package hmacs

func everyImplementation() []*implementation { return available() }

func describe(m method) string { return m.String() }

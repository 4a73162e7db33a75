//go:build !amd64

package ipv4

func sum(b []byte) uint16 { return sumGo(b) }

func copySum(dst, src []byte) uint16 { return copySumGo(dst, src) }

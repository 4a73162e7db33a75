//go:build !amd64

package ipv4

func implementations() []implementation { return []implementation{{"portable", sumGo, copySumGo}} }

//go:build !amd64

package aescbc

// expanded is empty where there is no machine code.
type expanded struct{}

func best() implementation { return portable }

// available lists the implementations that this machine has.
func available() []implementation { return []implementation{portable} }

func expand([]byte) expanded { panic("aescbc: no machine code here") }

func encryptMachine(implementation, []Op) { panic("aescbc: no machine code here") }

func decryptMachine(implementation, []Op) { panic("aescbc: no machine code here") }

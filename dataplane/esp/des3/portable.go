package des3

import (
	"crypto/cipher"

	"meshrouter/internal/cpu"
)

var portable = implementation{
	name:    "portable",
	level:   cpu.Portable,
	usable:  true,
	encrypt: encryptPortable,
	decrypt: decryptPortable,
}

func encryptPortable(ops []Op) {
	for i := range ops {
		cipher.NewCBCEncrypter(ops[i].Key.block, ops[i].IV).CryptBlocks(ops[i].Data, ops[i].Data)
	}
}

func decryptPortable(ops []Op) {
	for i := range ops {
		cipher.NewCBCDecrypter(ops[i].Key.block, ops[i].IV).CryptBlocks(ops[i].Data, ops[i].Data)
	}
}

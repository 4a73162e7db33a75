// Command gen writes the assembly of package hmacs: for each hash the compression function over lanes in
// AVX-512 and in AVX2, for SHA-1 and SHA-256 also with the SHA instructions.
package main

import (
	"log"
	"math/bits"
	"os"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	write("md5", func(c *build.Context) {
		md5(newVector(c, true, 4), "md5x16")
		md5(newVector(c, false, 4), "md5x8")
	})
	write("sha1", func(c *build.Context) {
		sha1(newVector(c, true, 4), "sha1x16")
		sha1(newVector(c, false, 4), "sha1x8")
		sha1NI(c, "sha1x1NI", 1)
		sha1NI(c, "sha1x2NI", 2)
	})
	write("sha256", func(c *build.Context) {
		sha2(newVector(c, true, 4), "sha256x16")
		sha2(newVector(c, false, 4), "sha256x8")
		sha256NI(c, "sha256x1NI", 1)
		sha256NI(c, "sha256x2NI", 2)
	})
	write("sha512", func(c *build.Context) {
		sha2(newVector(c, true, 8), "sha512x8")
		sha2(newVector(c, false, 8), "sha512x4")
	})
}

// write makes name_amd64.s and its declarations, name_amd64.go.
func write(name string, emit func(*build.Context)) {
	c := build.NewContext()
	c.ConstraintExpr("amd64")
	emit(c)
	file, err := c.Result()
	if err != nil {
		log.Fatal(err)
	}
	output := func(ext string, p func(printer.Config) printer.Printer) *pass.Output {
		f, err := os.Create(name + "_amd64" + ext) //nolint:gosec // G304: four names
		if err != nil {
			log.Fatal(err)
		}
		return &pass.Output{Writer: f, Printer: p(printer.Config{Argv: []string{"go", "run", "./gen"}, Pkg: "hmacs"})}
	}
	for _, p := range []pass.Interface{pass.Compile, output(".s", printer.NewGoAsm), output(".go", printer.NewStubs)} {
		if err := p.Execute(file); err != nil {
			log.Fatal(err)
		}
	}
}

// The arguments of every function, and how far it is.
var (
	stateTable = reg.RDI // for each word of the state a row of 16: a native word for each lane
	dataTable  = reg.RSI // *[16]*byte: where each lane's message goes on
	end        = reg.RDX //nolint:gochecknoglobals // bytes to hash of each lane
	offset     = reg.RBX //nolint:gochecknoglobals // bytes hashed
)

// function begins a compression function for n blocks of `block` bytes of each lane.
func function(c *build.Context, name, doc string, attributes attr.Attribute, block int) {
	c.Function(name)
	c.Doc(doc)
	c.Pragma("noescape")
	c.Attributes(attributes)
	c.SignatureExpr("func(state *byte, data *[16]*byte, n int)")
	c.Load(c.Param("state"), stateTable)
	c.Load(c.Param("data"), dataTable)
	c.Load(c.Param("n"), end)
	c.SHLQ(imm(bits.Len(uint(block))-1), end)
	c.XORL(reg.EBX, reg.EBX)
}

// imm is an immediate operand.
func imm(n int) operand.Constant { return operand.Imm(uint64(n)) } //nolint:gosec // G115: not negative

// again jumps back to label while blocks are left.
func again(c *build.Context, label string, block int) {
	c.ADDQ(imm(block), offset)
	c.CMPQ(offset, end)
	c.JB(operand.LabelRef(label))
}

// stateWord is the word of the state of one lane, or the row that begins there.
func stateWord(word, lane, size int) operand.Mem {
	return operand.Mem{Base: stateTable, Disp: size * (16*word + lane)}
}

// constants makes a table of read-only words.
func constants[W uint32 | uint64](c *build.Context, name string, words []W) operand.Mem {
	table := c.StaticGlobal(name)
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, w := range words {
		switch w := any(w).(type) {
		case uint32:
			c.AppendDatum(operand.U32(w))
		case uint64:
			c.AppendDatum(operand.U64(w))
		}
	}
	return table
}

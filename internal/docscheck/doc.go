// Package docscheck holds the documents to the code. It has tests alone:
//
//	docs/meshfile.md ──► each key is the loader's and each of the loader's is there;
//	                     files, tables of derived values and error messages come out as written
//	docs/peers/*.md  ──► each requirement names tests, and each test named exists
//	all of them      ──► whole mesh files load, links lead somewhere
//
// Read markdown_test.go for what is taken from a document: fenced blocks, tables, links.
package docscheck

// Package examples holds mesh files to start from; the first of them travels inside the binary, so
// that `meshrouter lab` needs no file.
//
//	triangle.yaml   three sites, each linked to the others: the mesh of `make lab`
package examples

import _ "embed" // for go:embed

// Triangle is triangle.yaml.
//
//go:embed triangle.yaml
var Triangle []byte

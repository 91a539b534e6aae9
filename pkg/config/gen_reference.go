//go:build ignore

// This program writes the reference page of the settings; see doc.go.
package main

import (
	"fmt"
	"os"

	"github.com/fenflow/fenflow/pkg/config"
)

func main() {
	if err := os.WriteFile(os.Args[1], []byte(config.Reference()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

//go:build ignore

// This program writes the reference page of the commands; see doc.go.
package main

import (
	"fmt"
	"os"

	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/problem"
)

func main() {
	if err := os.WriteFile(os.Args[1], []byte(cli.Reference()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(problem.ExitInternal)
	}
}

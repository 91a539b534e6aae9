package cli

import "github.com/fenflow/fenflow/pkg/app/boot"

// ReadBuild says which build this is.
func ReadBuild() boot.Build { return boot.ReadBuild() }

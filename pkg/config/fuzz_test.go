package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

// FuzzLoad: no file makes loading panic, and what is refused is refused as a
// configuration, for every role.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{minimal, "merchants: &a [*a]\n", "merchants: [{apps: {}}]\n? [a]\n: b\n", "<<: *x\n", "waits: {ack_wait: -1s}\nlisten: ~\n", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "fenflow.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		for _, role := range append(config.Roles(), config.RoleAny) {
			c, err := config.Load(config.Options{File: file, Role: role})
			if err != nil {
				require.Equal(t, problem.Config, problem.KindOf(err))
				continue
			}
			require.NotEmpty(t, c.Show())
			_, err = c.Directory()
			require.NoError(t, err, "what was checked can be used")
		}
	})
}

package main

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func migrated(t *testing.T) string {
	t.Helper()
	return testkit.Database(t, "fenflow", func(ctx context.Context, url string) error {
		_, err := store.Migrate(ctx, url)
		return err
	})
}

func TestToken_is_shown_once_listed_and_revoked(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	exit, stdout, stderr := fenflow(t, url, "token", "ls")
	require.Zero(t, exit, stderr)
	require.Contains(t, stdout, "fenflow token create NAME")

	exit, stdout, stderr = fenflow(t, url, "token", "create", "night-shift", "--role", "operate", "--json")
	require.Zero(t, exit, stdout+stderr)
	var made struct{ Token, Name, Role string }
	require.NoError(t, json.Unmarshal([]byte(stdout), &made))
	require.Regexp(t, `^fft_[0-9A-Za-z_-]{43}$`, made.Token)
	require.Equal(t, "night-shift operate", made.Name+" "+made.Role)

	exit, stdout, _ = fenflow(t, url, "token", "create", "watch")
	require.Zero(t, exit)
	require.Contains(t, stdout, "token  fft_")
	require.Contains(t, stdout, "role   read")

	exit, stdout, _ = fenflow(t, url, "token", "create", "watch", "--json")
	require.Equal(t, 5, exit)
	require.Contains(t, stdout, `"code": "FEN-4014"`)
	require.NotContains(t, stdout, "fft_")
	exit, _, stderr = fenflow(t, url, "token", "create", "night shift")
	require.Equal(t, 2, exit)
	require.Contains(t, stderr, `"night shift" is no name of a token`)

	exit, stdout, _ = fenflow(t, url, "token", "revoke", "night-shift")
	require.Zero(t, exit)
	require.Equal(t, "revoked night-shift\n", stdout)
	exit, _, stderr = fenflow(t, url, "token", "revoke", "night-shift")
	require.Equal(t, 4, exit)
	require.Contains(t, stderr, "FEN-3013")

	exit, stdout, _ = fenflow(t, url, "token", "ls", "--json")
	require.Zero(t, exit)
	require.NotContains(t, stdout, made.Token)
	var list struct {
		Tokens []struct {
			Name      string
			RevokedAt *time.Time `json:"revoked_at"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &list))
	require.Len(t, list.Tokens, 2)
	for _, token := range list.Tokens {
		require.Equal(t, token.Name == "night-shift", token.RevokedAt != nil)
	}
	exit, stdout, _ = fenflow(t, url, "token", "ls")
	require.Zero(t, exit)
	require.Regexp(t, `watch +read +\d{4}-\d\d-\d\d \d\d:\d\dZ +cli`, stdout)
}

func TestToken_says_what_is_in_the_way(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"ls"}, {"create", "x1"}, {"revoke", "x1"}} {
		exit, stdout, _ := fenflow(t, testkit.Database(t, "", nil), append([]string{"token", "--json"}, args...)...)
		require.Equal(t, 8, exit, stdout)
		require.Contains(t, stdout, `"code": "FEN-1003"`)
		exit, stdout, stderr := fenflow(t, "postgres://u:s3cret@"+testkit.FreeAddr(t)+"/x?sslmode=disable", append([]string{"token", "--json"}, args...)...)
		require.Equal(t, 7, exit)
		require.Contains(t, stdout, `"code": "FEN-5002"`)
		require.NotContains(t, stdout+stderr, "s3cret")
	}
}

func TestConsole_is_started_with_the_flags_of_the_command_line(t *testing.T) {
	t.Parallel()
	exit, _, stderr := fenflow(t, migrated(t), "console", "--config", "x.yaml", "--set", "log.level=debug", "--set", "listen.console=:1")
	require.Equal(t, 42, exit)
	require.Equal(t, "[--config x.yaml --set listen.console=:1 --set log.level=debug]", stderr)
}

package devstack

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The token of a former start is shown nowhere any more, so it opens nothing.
func TestStack_serves_operators_with_a_token_of_each_start(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // as root, PostgreSQL runs as another user, who must pass through
		require.NoError(t, os.Chmod(d, 0o711))
	}
	options := Options{Dir: dir, Keep: true, Console: true, FreePort: true, Speed: demoSpeed, Log: testWriter{t}}
	status := func(s *Stack, token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.ConsoleURL()+"/operator/v1/status", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	first, err := Start(t.Context(), options)
	require.NoError(t, err)
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			first.Stop()
		}
	})
	require.Equal(t, http.StatusOK, status(first, first.token))
	first.describe()
	first.Stop()
	stopped = true

	second, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(second.Stop)
	require.Equal(t, http.StatusOK, status(second, second.token))
	require.Equal(t, http.StatusUnauthorized, status(second, first.token))
}

package devstack

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A stack that comes up again on other ports has its shop, its front door and the
// way back from logins there.
func TestStack_opens_the_tea_shop_wherever_it_comes_up(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // as root, PostgreSQL runs as another user, who must pass through
		require.NoError(t, os.Chmod(d, 0o711))
	}
	var log bytes.Buffer
	for range 2 {
		log.Reset()
		s, err := Start(t.Context(), Options{Dir: dir, Keep: true, FreePort: true, Speed: demoSpeed, Shop: true, Log: &log})
		require.NoError(t, err)
		t.Cleanup(s.Stop)
		require.NotEmpty(t, s.ShopURL(), log.String())
		var page struct{ Front, AppID, JWeixin string }
		require.NoError(t, json.Unmarshal([]byte(fetch(t, s.ShopURL()+"/config.json")), &page))
		require.Equal(t, s.FrontURL(), page.Front)
		require.NotEmpty(t, page.AppID)
		require.Contains(t, fetch(t, page.JWeixin), "wx")
		config, err := os.ReadFile(s.ConfigFile("ingest"))
		require.NoError(t, err)
		require.Contains(t, string(config), s.ShopURL())
		s.describe()
		require.Contains(t, log.String(), s.SimulatorURL()+"/weixin/inside?url=http%3A%2F%2F127.0.0.1")
		s.Stop()
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	var body bytes.Buffer
	_, err = body.ReadFrom(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode, url)
	return body.String()
}

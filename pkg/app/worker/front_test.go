package worker_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// While the key of sessions changes, one worker signs with the new one and the next
// still with the old one: a buyer may meet either.
func TestWorker_takes_sessions_of_a_key_that_was_added_since_it_began(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	r := w.start()
	w.ready(r)
	front := w.connect("front")
	ask := func(key ed25519.PrivateKey) string {
		token, _, err := session.NewSigner(key, time.Hour, time.Now).Sign(session.Claims{
			AccountID: "0191d5e4-7a3b-7c00-8000-000000000001", MchID: pay.MchID(w.merchant.Mchid), AppID: pay.AppID(w.merchant.Appid), OpenID: "oBuyer",
		})
		require.NoError(t, err)
		question, err := json.Marshal(map[string]string{"session": token, "out_trade_no": "T00000001"})
		require.NoError(t, err)
		answer, err := front.Request(t.Context(), bus.RequestWeChatOrder, question, 10*time.Second)
		if err != nil {
			return err.Error()
		}
		return string(answer)
	}
	const noSuchOrder, refused = "FEN-3004", "FEN-2014"
	own, err := merchant.LoadSessionKey(filepath.Join(w.dir, "secrets", "session.key"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(ask(own), noSuchOrder) }, soon, often, "its own sessions; %s", ask(own))
	_, next, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	require.Contains(t, ask(next), refused)

	_, half, err := merchant.SessionKeyPEM(next)
	require.NoError(t, err)
	file := filepath.Join(w.dir, "next.pub")
	require.NoError(t, os.WriteFile(file, half, 0o600))
	w.configure("- secrets/session.pub\n", "- secrets/session.pub\n        - "+asYAML(file)+"\n")
	r.reload <- struct{}{}
	require.Eventually(t, func() bool { return strings.Contains(ask(next), noSuchOrder) }, soon, often, "of the next key; %s", ask(next))
	require.Contains(t, ask(own), noSuchOrder)
}

package worker_test

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/testkit"
)

const messageToken = "tokenOfMessages"

// pushed is a text message as the edge hands it on, signed by whoever has the token.
func (w *world) pushed(id, token string) []byte {
	w.t.Helper()
	signed := []string{token, fmt.Sprint(time.Now().Unix()), "263014780"}
	query := url.Values{"timestamp": {signed[1]}, "nonce": {signed[2]}}
	slices.Sort(signed)
	sum := sha1.Sum([]byte(strings.Join(signed, "")))
	query.Set("signature", hex.EncodeToString(sum[:]))
	body := `<xml><ToUserName>gh_1</ToUserName><FromUserName>oBuyer</FromUserName><CreateTime>1772337600</CreateTime><MsgType>text</MsgType><Content>hello</Content><MsgId>` + id + `</MsgId></xml>`
	raw, err := json.Marshal(map[string]any{"appid": w.merchant.Appid, "method": "POST", "query": query.Encode(), "content_type": "text/xml", "body": []byte(body)})
	require.NoError(w.t, err)
	return raw
}

// takesMessages gives the app a message token that the test knows, and a reply.
func (w *world) takesMessages() {
	w.t.Helper()
	file := filepath.Join(w.dir, "message.token")
	require.NoError(w.t, os.WriteFile(file, []byte(messageToken+"\n"), 0o600))
	app := "secrets/" + w.merchant.Appid
	w.configure("          message_token_file: "+app+".token\n          message_aes_key_files:\n            - "+app+".aes\n            - "+app+".aes.previous\n",
		"          message_token_file: "+asYAML(file)+"\n          message_replies: [{on: text, contains: hello, text: welcome}]\n")
}

// The front door's crowd has connections of its own: housekeeping, and /readyz, do not
// wait behind it.
func TestWorker_stays_ready_while_the_front_door_waits_for_the_database(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.takesMessages()
	r := w.start()
	w.ready(r)
	front := w.connect("front")
	ask := func(id string) error {
		_, err := front.Request(t.Context(), bus.RequestWeChatMessage, w.pushed(id, messageToken), 10*time.Second)
		return err
	}
	require.Eventually(t, func() bool { return ask("1") == nil }, soon, often)
	held, err := w.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = held.ExecContext(t.Context(), `LOCK TABLE messages_seen IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	var crowd sync.WaitGroup
	for n := range 30 {
		crowd.Go(func() { _ = ask(fmt.Sprint(100 + n)) }) // answered 503 after a while
	}
	require.Eventually(t, func() bool {
		return w.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) >= 6
	}, soon, often)
	now := r.health.Ready(t.Context())
	require.True(t, now.Ready, "%+v", now)
	require.NoError(t, held.Rollback())
	crowd.Wait()
}

func TestWorker_takes_server_messages_and_forgets_old_ones(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.takesMessages()
	_, err := w.db.ExecContext(t.Context(), `INSERT INTO messages_seen (appid, dedup_key, seen_at) SELECT 'wx1', 'k' || n, now() - interval '8 days' FROM generate_series(1, 1500) AS n`)
	require.NoError(t, err)
	w.ready(w.start())
	front := w.connect("front")
	ask := func(question []byte) string {
		answer, err := front.Request(t.Context(), bus.RequestWeChatMessage, question, 10*time.Second)
		if err != nil {
			return err.Error()
		}
		return string(answer)
	}
	require.Eventually(t, func() bool { return strings.Contains(ask(w.pushed("1", messageToken)), "welcome") }, soon, often)
	require.Contains(t, ask(w.pushed("1", messageToken)), "welcome")
	require.Contains(t, ask(w.pushed("2", "another")), "FEN-4050")
	require.Equal(t, 1, w.count(`SELECT count(*) FROM messages_seen WHERE appid = '`+w.merchant.Appid+`'`))
	require.Eventually(t, func() bool { return w.count(`SELECT count(*) FROM messages_seen WHERE appid = 'wx1'`) == 0 }, soon, often)
}

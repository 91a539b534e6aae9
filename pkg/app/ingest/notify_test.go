package ingest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// messages counts what a stream holds, with the worker's eyes.
func (s *stage) messages(stream string) uint64 {
	conn, err := nats.Connect(s.nats.URL(), nats.UserInfo("worker", "pw-of-worker"), nats.CustomInboxPrefix("_INBOX_worker"))
	require.NoError(s.t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(s.t, err)
	info, err := js.Stream(s.t.Context(), stream)
	require.NoError(s.t, err)
	return info.CachedInfo().State.Msgs
}

func TestIngest_stores_the_very_bytes_of_what_it_acknowledges(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	var sent sync.Map
	var senders sync.WaitGroup
	for n := range 40 {
		senders.Go(func() {
			body := fmt.Sprintf("{\"id\" : \"EV-%d\",\r\n \"resource\":{\"ciphertext\":\"do-not-log-me \\u0000 %s\"}}\t\xff", n, strings.Repeat("é", n*100))
			status, answer := s.post(rsaKeys().public, publicID, body)
			if status == http.StatusNoContent && answer == "" {
				sent.Store(body, true)
			}
		})
	}
	senders.Wait()
	arrivals := s.stored()
	ids := map[pay.DeliveryID]bool{}
	for range 40 {
		a := <-arrivals
		_, known := sent.LoadAndDelete(string(a.Envelope.Body))
		require.True(t, known, "bytes that were sent, each once")
		ids[a.Envelope.DeliveryID] = true
		_, err := wechatpay.VerifySignature(a.Envelope, merchant.NewKeyring(merchant.PublicKey{ID: publicID, Key: &rsaKeys().public.PublicKey}), a.Envelope.ReceivedAt)
		require.NoError(t, err, "and they verify again")
	}
	require.Len(t, ids, 40)
}

func TestIngest_starts_and_serves_though_no_secret_file_can_be_read(t *testing.T) {
	t.Parallel()
	s := newStage(t) // its configuration names only secret files that cannot be read
	s.prove()
	status, _ := s.post(rsaKeys().public, publicID, `{"id":"EV-1"}`)
	require.Equal(t, http.StatusNoContent, status)
	require.NotContains(t, s.log.String(), "secrets/")
}

func TestIngest_keeps_forgeries_out_of_the_stream_and_samples_them(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	status, answer := s.post(rsaKeys().stranger, publicID, `{"id":"forged"}`)
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, answer, `"FAIL"`)
	require.Contains(t, answer, "fenflow config check --secrets")
	status, _ = s.post(rsaKeys().public, "PUB_KEY_ID_7", `{"id":"forged"}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Eventually(t, func() bool { return s.messages(bus.StreamRejected) == 2 }, soon, often)
	require.Zero(t, s.messages(bus.StreamNotify))
	_, metrics := s.get(s.admin, "/metrics")
	require.Contains(t, metrics, `fenflow_notifications_total{mchid="1900000109",outcome="bad_signature"} 1`)
	require.Contains(t, metrics, `fenflow_unknown_public_keys_total{mchid="1900000109"} 1`)
	require.Contains(t, metrics, `fenflow_gate_open 1`)
	require.Contains(t, metrics, `fenflow_merchant_keys{mchid="1900000109"} 1`)
}

func TestIngest_takes_no_traffic_before_durability_is_proven_and_names_the_setting(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	status, answer := s.post(rsaKeys().public, publicID, `{}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, answer, "no durability verdict")
	status, answer = s.get(s.admin, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, answer, "durability")
	status, _ = s.get(s.admin, "/livez")
	require.Equal(t, http.StatusOK, status)

	require.NoError(t, s.worker.EnsureStreams(t.Context()))
	require.NoError(t, s.worker.PutVerdict(t.Context(), bus.Verdict{Problems: []string{"sync_interval is 2m0s, must be always"}}))
	require.Eventually(t, func() bool {
		status, answer = s.post(rsaKeys().public, publicID, `{}`)
		return strings.Contains(answer, "sync_interval")
	}, soon, often)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Zero(t, s.messages(bus.StreamNotify))

	s.proveAgain()
	status, _ = s.post(rsaKeys().public, publicID, `{}`)
	require.Equal(t, http.StatusNoContent, status)
}

func TestIngest_answers_503_while_the_broker_is_away_and_until_it_is_proven_again(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	require.NoError(t, s.nats.Stop())
	status, _ := s.post(rsaKeys().public, publicID, `{}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Eventually(t, func() bool { _, answer := s.get(s.admin, "/readyz"); return strings.Contains(answer, "nats.url") }, soon, often)
	require.NoError(t, s.nats.Restart())
	require.Eventually(t, func() bool {
		status, answer := s.post(rsaKeys().public, publicID, `{}`)
		return status == http.StatusServiceUnavailable && strings.Contains(answer, "has started since")
	}, soon, often, "a server that has started anew may run with other settings")
	require.Eventually(t, func() bool { return s.worker.ServerID() == s.nats.ID() }, soon, often)
	s.proveAgain()
	status, _ = s.post(rsaKeys().public, publicID, `{}`)
	require.Equal(t, http.StatusNoContent, status)
	require.EqualValues(t, 1, s.messages(bus.StreamNotify))
}

func TestIngest_answers_503_when_the_stream_is_full(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *setting) { o.limits.Notify = 200 << 10 })
	s.prove()
	body := `{"id":"` + strings.Repeat("x", 100<<10) + `"}`
	status, _ := s.post(rsaKeys().public, publicID, body)
	require.Equal(t, http.StatusNoContent, status)
	for range 3 {
		status, _ = s.post(rsaKeys().public, publicID, body)
	}
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.EqualValues(t, 1, s.messages(bus.StreamNotify), "the acknowledged one stays, the refused ones are not there")
}

func TestIngest_learns_of_a_platform_certificate_after_its_first_use(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	s.serve(bus.RequestVerifyKeys, func(question []byte) ([]byte, error) {
		if string(question) != `{"mchid":"`+mchid+`"}` {
			return nil, fmt.Errorf("asked %s", question)
		}
		return []byte(`{}`), s.worker.PutPlatformKeys(t.Context(), mchid, []merchant.PublicKey{{ID: serial, Key: &rsaKeys().platform.PublicKey}})
	})
	status, answer := s.post(rsaKeys().platform, serial, `{}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, answer, serial)
	require.Eventually(t, func() bool {
		status, _ := s.post(rsaKeys().platform, serial, `{}`)
		return status == http.StatusNoContent
	}, soon, often, "WeChat Pay's next attempt is acknowledged")
	status, _ = s.post(rsaKeys().public, publicID, `{}`)
	require.Equal(t, http.StatusNoContent, status, "both modes at the same time")
}

func TestIngest_takes_over_a_new_key_on_SIGHUP_and_keeps_the_old_one_when_the_file_is_broken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.prove()
	s.write("pub_key.pem", []byte("not a key"))
	s.signals <- syscall.SIGHUP
	require.Eventually(t, func() bool {
		_, metrics := s.get(s.admin, "/metrics")
		return strings.Contains(metrics, "fenflow_config_reload_failures_total 1")
	}, soon, often)
	status, _ := s.post(rsaKeys().public, publicID, `{}`)
	require.Equal(t, http.StatusNoContent, status)
	s.writePublicKey(rsaKeys().stranger)
	s.signals <- syscall.SIGHUP
	require.Eventually(t, func() bool {
		status, _ := s.post(rsaKeys().stranger, publicID, `{}`)
		return status == http.StatusNoContent
	}, soon, often)
	status, _ = s.post(rsaKeys().public, publicID, `{}`)
	require.Equal(t, http.StatusUnauthorized, status)
}

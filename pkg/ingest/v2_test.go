package ingest_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/ingest"
	"github.com/fenflow/fenflow/pkg/pay"
)

const noticeV2 = `<xml><return_code><![CDATA[SUCCESS]]></return_code><mch_id>1900000109</mch_id><sign>AB</sign></xml>`

func postV2(what, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/notify/v2/"+string(mchid)+"/"+what, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/xml")
	return r
}

func says(verdict string) func(string, []byte) ([]byte, error) {
	return func(string, []byte) ([]byte, error) { return []byte(verdict), nil }
}

func TestNotifyV2_is_acknowledged_after_a_worker_verified_and_the_bus_stored_it(t *testing.T) {
	t.Parallel()
	for what, kind := range map[string]pay.DeliveryKind{"pay": pay.DeliveryNotifyV2Pay, "refund": pay.DeliveryNotifyV2Refund} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			e.worker.answer = func(subject string, question []byte) ([]byte, error) {
				var q struct {
					MchID pay.MchID
					Kind  pay.DeliveryKind
					Body  []byte
				}
				require.Equal(t, "fenflow.verify.v2", subject)
				require.NoError(t, json.Unmarshal(question, &q))
				require.Equal(t, mchid, q.MchID)
				require.Equal(t, kind, q.Kind)
				require.Equal(t, noticeV2, string(q.Body))
				require.Empty(t, e.shelf.published(), "nothing unverified enters the stream")
				return []byte(`{"ok":true}`), nil
			}
			answer := e.send(postV2(what, noticeV2))
			require.Equal(t, http.StatusOK, answer.Code)
			require.Equal(t, `<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>`, answer.Body.String())
			require.Len(t, e.shelf.published(), 1)
			require.Equal(t, kind, e.shelf.published()[0].Kind)
			require.Equal(t, noticeV2, string(e.shelf.published()[0].Body))
		})
	}
}

func TestNotifyV2_refuses_in_XML_and_publishes_nothing(t *testing.T) {
	t.Parallel()
	away := func(string, []byte) ([]byte, error) { return nil, errors.New("no responders: nats internals") }
	json415 := postV2("pay", noticeV2)
	json415.Header.Set("Content-Type", "application/json")
	get := postV2("pay", noticeV2)
	get.Method = http.MethodGet
	stranger := httptest.NewRequest(http.MethodPost, "/notify/v2/1999999999/pay", strings.NewReader(noticeV2))
	for name, row := range map[string]struct {
		request *http.Request
		worker  func(string, []byte) ([]byte, error)
		status  int
		outcome ingest.Outcome
		asked   int
	}{
		"wrong sign":       {postV2("pay", noticeV2), says(`{"ok":false,"reason":"bad_signature"}`), 401, ingest.BadSignature, 1},
		"malformed":        {postV2("refund", "<xml>"), says(`{"ok":false,"reason":"malformed"}`), 401, ingest.BadSignature, 1},
		"no v2 key":        {postV2("pay", noticeV2), says(`{"ok":false,"reason":"no_key"}`), 503, ingest.NoKeys, 1},
		"no worker":        {postV2("pay", noticeV2), away, 503, ingest.VerifierAway, 1},
		"nonsense verdict": {postV2("pay", noticeV2), says(`ok`), 503, ingest.VerifierAway, 1},
		"empty verdict":    {postV2("pay", noticeV2), says(`{}`), 401, ingest.BadSignature, 1},
		"DOCTYPE":          {postV2("pay", `<?xml version="1.0"?><!DocType x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml>&a;</xml>`), says(`{"ok":true}`), 400, ingest.Malformed, 0},
		"oversize":         {postV2("pay", strings.Repeat("<a>", limit)), says(`{"ok":true}`), 413, ingest.BodyTooLarge, 0},
		"JSON":             {json415, says(`{"ok":true}`), 415, ingest.WrongMediaType, 0},
		"GET":              {get, says(`{"ok":true}`), 405, ingest.WrongMethod, 0},
		"unknown merchant": {stranger, says(`{"ok":true}`), 404, ingest.UnknownMerchant, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			e.worker.answer = row.worker
			answer := e.send(row.request)
			require.Equal(t, row.status, answer.Code, answer.Body)
			require.True(t, strings.HasPrefix(answer.Body.String(), `<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[`), answer.Body)
			require.NotContains(t, answer.Body.String(), "\n")
			require.NotContains(t, answer.Body.String(), "nats internals")
			require.Empty(t, e.shelf.published())
			require.Len(t, e.worker.questions(), row.asked)
			require.InDelta(t, 1, e.count("fenflow_notifications_total", string(row.outcome)), 0)
		})
	}
}

func TestNotifyV2_answers_503_when_the_broker_does_not_store_it_or_the_gate_is_shut(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.worker.answer = says(`{"ok":true}`)
	e.gate.Set(nil)
	require.Equal(t, http.StatusServiceUnavailable, e.send(postV2("pay", noticeV2)).Code)
	require.Empty(t, e.worker.questions(), "a shut gate takes no traffic at all")
	e.gate.Set(goodVerdict())
	require.Equal(t, http.StatusOK, e.send(postV2("pay", noticeV2)).Code)
}

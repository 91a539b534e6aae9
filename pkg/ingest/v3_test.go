package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/ingest"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const limit = 128 << 10

// refused is one row of the decision table that must not be acknowledged.
type refused struct {
	name    string
	change  func(e *edge, r *http.Request) *http.Request
	status  int
	outcome ingest.Outcome
	says    string // in the message to WeChat Pay
	sampled bool
	refresh bool
}

func header(name, value string) func(*edge, *http.Request) *http.Request {
	return func(_ *edge, r *http.Request) *http.Request {
		if r.Header.Del(name); value != "" {
			r.Header.Set(name, value)
		}
		return r
	}
}

func to(method, path string) func(*edge, *http.Request) *http.Request {
	return func(_ *edge, r *http.Request) *http.Request {
		moved := httptest.NewRequest(method, path, r.Body)
		moved.Header = r.Header
		return moved
	}
}

func signed(change func(r *http.Request, body string)) func(*edge, *http.Request) *http.Request {
	return func(_ *edge, r *http.Request) *http.Request {
		change(r, notice)
		return r
	}
}

func sized(size int, declared bool) func(*edge, *http.Request) *http.Request {
	return func(*edge, *http.Request) *http.Request {
		r := genuine(strings.Repeat("x", size))
		if !declared {
			r.ContentLength = -1
		}
		return r
	}
}

func state(change func(e *edge)) func(*edge, *http.Request) *http.Request {
	return func(e *edge, r *http.Request) *http.Request {
		change(e)
		return r
	}
}

func refusedRows() []refused {
	failing := errors.New("stream is full")
	return []refused{
		{"unknown merchant", to("POST", "/notify/v3/1999999999"), 404, ingest.UnknownMerchant, "not configured", false, false},
		{"unknown merchant and wrong method", to("GET", "/notify/v3/1999999999"), 404, ingest.UnknownMerchant, "", false, false},
		{"merchant that is no number", to("POST", "/notify/v3/%ff%00"), 404, ingest.UnknownMerchant, "", false, false},
		{"GET", to("GET", "/notify/v3/1900000109"), 405, ingest.WrongMethod, "posted", false, false},
		{"PUT", to("PUT", "/notify/v3/1900000109"), 405, ingest.WrongMethod, "", false, false},
		{"invented method", to("ACK", "/notify/v3/1900000109"), 405, ingest.WrongMethod, "posted", false, false},
		{"no media type", header("Content-Type", ""), 415, ingest.WrongMediaType, "application/json", false, false},
		{"wrong media type", header("Content-Type", "text/xml"), 415, ingest.WrongMediaType, "", false, false},
		{"broken media type", header("Content-Type", "application/json; charset"), 415, ingest.WrongMediaType, "", false, false},
		{"no timestamp", header(wechatpay.HeaderTimestamp, ""), 400, ingest.BadHeader, wechatpay.HeaderTimestamp, false, false},
		{"no nonce", header(wechatpay.HeaderNonce, ""), 400, ingest.BadHeader, wechatpay.HeaderNonce, false, false},
		{"no signature", header(wechatpay.HeaderSignature, ""), 400, ingest.BadHeader, wechatpay.HeaderSignature, false, false},
		{"no serial", header(wechatpay.HeaderSerial, ""), 400, ingest.BadHeader, wechatpay.HeaderSerial, false, false},
		{"serial twice", signed(func(r *http.Request, _ string) { r.Header.Add(wechatpay.HeaderSerial, serial) }), 400, ingest.BadHeader, "more than once", false, false},
		{"timestamp that is no number", header(wechatpay.HeaderTimestamp, "yesterday"), 400, ingest.BadHeader, "", false, false},
		{"signature of 1 MiB", header(wechatpay.HeaderSignature, strings.Repeat("A", 1<<20)), 400, ingest.BadHeader, "", false, false},
		{"signature type of another world", header(wechatpay.HeaderSignatureType, "WECHATPAY2-SM2-WITH-SM3"), 400, ingest.BadHeader, "", false, false},
		{"body over the limit, declared", sized(limit+1, true), 413, ingest.BodyTooLarge, "131072", false, false},
		{"body over the limit, chunked", sized(limit+1, false), 413, ingest.BodyTooLarge, "", false, false},
		{"300 s behind", signed(func(r *http.Request, b string) {
			stamp(r.Header, rsaKeys().public, publicID, now().Add(-300*time.Second), b)
		}), 401, ingest.WrongTimestamp, "clock", true, false},
		{"300 s ahead", signed(func(r *http.Request, b string) {
			stamp(r.Header, rsaKeys().public, publicID, now().Add(300*time.Second), b)
		}), 401, ingest.WrongTimestamp, "clock", true, false},
		{"unknown serial", header(wechatpay.HeaderSerial, "00"+serial[2:]), 503, ingest.UnknownSerial, "00" + serial[2:], true, true},
		{"certificate that has run out", signed(func(r *http.Request, b string) { stamp(r.Header, rsaKeys().platform, oldSerial, now(), b) }), 503, ingest.UnknownSerial, oldSerial, true, true},
		{"unknown public key", header(wechatpay.HeaderSerial, "PUB_KEY_ID_9"), 503, ingest.UnknownSerial, "wechatpay_public_keys", true, false},
		{"signed by a stranger", signed(func(r *http.Request, b string) { stamp(r.Header, rsaKeys().stranger, publicID, now(), b) }), 401, ingest.BadSignature, "fenflow config check --secrets", true, false},
		{"signed for another body", signed(func(r *http.Request, b string) { stamp(r.Header, rsaKeys().public, publicID, now(), b+" ") }), 401, ingest.BadSignature, publicID, true, false},
		{"other key of the same merchant", header(wechatpay.HeaderSerial, serial), 401, ingest.BadSignature, serial, true, false},
		{"probe that is no base64", header(wechatpay.HeaderSignature, "WECHATPAY/SIGNTEST/"+strings.Repeat("A", 323)), 401, ingest.BadSignature, "", true, false},
		{"probe that decodes", header(wechatpay.HeaderSignature, "WECHATPAY/SIGNTEST/"+strings.Repeat("A", 325)), 401, ingest.BadSignature, "", true, false},
		{"merchant without keys", to("POST", "/notify/v3/1900000110"), 503, ingest.NoKeys, "wechatpay_public_keys", false, false},
		{"no verdict", state(func(e *edge) { e.gate.Set(nil) }), 503, ingest.GateShut, "no durability verdict", false, false},
		{"bad verdict", state(func(e *edge) { e.gate.Set(&ingest.Verdict{Problems: []string{"sync_interval is 2m, must be always"}}) }), 503, ingest.GateShut, "sync_interval", false, false},
		{"verdict about a server before its restart", state(func(e *edge) { e.gate.Set(&ingest.Verdict{OK: true, Servers: []string{"NATS-0"}}) }), 503, ingest.GateShut, "has started since", false, false},
		{"broker away or full", state(func(e *edge) { e.shelf.fail = func(context.Context) error { return failing } }), 503, ingest.BrokerUnavailable, "could not be stored", false, false},
	}
}

func TestNotifyV3_refuses_what_the_table_refuses_and_publishes_nothing(t *testing.T) {
	t.Parallel()
	for _, row := range refusedRows() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			e.run()
			answer := e.send(row.change(e, genuine(notice)))
			require.Equal(t, row.status, answer.Code, answer.Body)
			require.Equal(t, "application/json; charset=utf-8", answer.Header().Get("Content-Type"))
			var body struct{ Code, Message string }
			require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body))
			require.Equal(t, "FAIL", body.Code)
			require.Contains(t, body.Message, row.says)
			require.NotContains(t, body.Message, "stream is full", "our insides stay inside")
			require.Empty(t, e.shelf.published())
			require.InDelta(t, 1, e.count("fenflow_notifications_total", string(row.outcome)), 0)
			require.Contains(t, e.log.String(), `"outcome":"`+string(row.outcome)+`"`)
			require.NotContains(t, e.log.String(), "do-not-log-me")
			if row.sampled {
				<-e.shelf.sampled
				require.Equal(t, string(row.outcome), e.shelf.samples()[0].Reason)
				require.True(t, bytes.Equal([]byte(notice), e.shelf.samples()[0].Envelope.Body), "the sample is what arrived")
			}
			if row.refresh {
				require.Eventually(t, func() bool { return len(e.worker.questions()) == 1 }, 5*time.Second, time.Millisecond)
				require.Equal(t, []string{`fenflow.verify.keys {"mchid":"1900000109"}`}, e.worker.questions())
			}
		})
	}
}

func TestNotifyV3_acknowledges_what_verifies_and_publishes_its_bytes_unchanged(t *testing.T) {
	t.Parallel()
	odd := "{\n\t\"id\" : \"\\u0000\",  \"x\":1e400, \"x\":2}\r\n\xff"
	for name, change := range map[string]func(r *http.Request) (body string){
		"public key": func(*http.Request) string { return notice },
		"platform certificate": func(r *http.Request) string {
			stamp(r.Header, rsaKeys().platform, serial, now(), notice)
			return notice
		},
		"299 s behind": func(r *http.Request) string {
			stamp(r.Header, rsaKeys().public, publicID, now().Add(-299*time.Second), notice)
			return notice
		},
		"299 s ahead": func(r *http.Request) string {
			stamp(r.Header, rsaKeys().public, publicID, now().Add(299*time.Second), notice)
			return notice
		},
		"no signature type": func(r *http.Request) string { r.Header.Del(wechatpay.HeaderSignatureType); return notice },
		"charset": func(r *http.Request) string {
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			return notice
		},
		"bytes that are no JSON, which the worker letters": func(r *http.Request) string {
			stamp(r.Header, rsaKeys().public, publicID, now(), odd)
			r.Body = io.NopCloser(strings.NewReader(odd))
			r.ContentLength = int64(len(odd))
			return odd
		},
		"exactly the limit, chunked": func(r *http.Request) string {
			body := strings.Repeat("y", limit)
			stamp(r.Header, rsaKeys().public, publicID, now(), body)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
			return body
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			r := genuine(notice)
			body := change(r)
			answer := e.send(r)
			require.Equal(t, http.StatusNoContent, answer.Code, answer.Body)
			require.Empty(t, answer.Body.String())
			require.Len(t, e.shelf.published(), 1)
			env := e.shelf.published()[0]
			require.Equal(t, body, string(env.Body))
			require.Equal(t, mchid, env.MchID)
			require.Equal(t, pay.DeliveryNotifyV3, env.Kind)
			require.Equal(t, now(), env.ReceivedAt)
			for _, name := range wechatpay.SignatureHeaders() {
				require.Equal(t, r.Header.Get(name), env.Headers[name])
			}
			id, err := uuid.Parse(string(env.DeliveryID))
			require.NoError(t, err)
			require.Equal(t, uuid.Version(7), id.Version())
			_, err = wechatpay.VerifySignature(env, e.keys.Of(mchid), env.ReceivedAt)
			require.NoError(t, err, "the worker must be able to verify what is stored")
			require.Contains(t, e.log.String(), string(env.DeliveryID))
			require.NotContains(t, e.log.String(), "do-not-log-me")
		})
	}
}

func TestNotifyV3_carries_the_trace_or_begins_one(t *testing.T) {
	t.Parallel()
	const given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	e := newEdge(t)
	for _, sent := range []string{given, "", "00-junk", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"} {
		r := genuine(notice)
		r.Header.Set("Traceparent", sent)
		require.Equal(t, http.StatusNoContent, e.send(r).Code)
	}
	published := e.shelf.published()
	require.Equal(t, given, published[0].TraceParent)
	for _, env := range published[1:] {
		require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`, env.TraceParent)
		require.NotContains(t, env.TraceParent, "00000000000000000000000000000000")
	}
}

func TestNotifyV3_answers_only_after_the_PubAck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		ack := make(chan error)
		e.shelf.fail = func(context.Context) error { return <-ack }
		w := &watched{ResponseRecorder: httptest.NewRecorder()}
		go e.ServeHTTP(w, genuine(notice))
		synctest.Wait()
		require.False(t, w.written, "answered before the PubAck")
		ack <- nil
		synctest.Wait()
		require.Equal(t, http.StatusNoContent, w.Code)
	})
}

func TestNotifyV3_gives_a_silent_broker_two_seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.shelf.fail = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		require.Equal(t, http.StatusServiceUnavailable, e.send(genuine(notice)).Code)
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Empty(t, e.shelf.published())
	})
}

type watched struct {
	*httptest.ResponseRecorder

	written bool
}

func (w *watched) WriteHeader(status int) {
	w.written = true
	w.ResponseRecorder.WriteHeader(status)
}

func TestNotifyV3_answers_500_to_a_panic_and_goes_on(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.shelf.fail = func(context.Context) error { panic("secret of the panic") }
	require.Equal(t, http.StatusInternalServerError, e.send(genuine(notice)).Code)
	require.NotContains(t, e.log.String(), "secret of the panic")
	require.InDelta(t, 1, e.count("fenflow_ingest_panics_total"), 0)
	e.shelf.fail = nil
	require.Equal(t, http.StatusNoContent, e.send(genuine(notice)).Code)
}

func TestNotify_has_nothing_elsewhere(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, path := range []string{"/", "/notify/v3/", "/notify/v3/1900000109/", "/notify/v3/1900000109/x", "/notify/v2/1900000109", "/v1/orders", "/metrics", "/notify/v3/../v3/1900000109/pay"} {
		require.Equal(t, http.StatusNotFound, e.send(httptest.NewRequest(http.MethodPost, path, strings.NewReader(notice))).Code, path)
	}
	require.Empty(t, e.shelf.published())
}

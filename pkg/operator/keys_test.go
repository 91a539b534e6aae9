package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/keycheck"
	"github.com/fenflow/fenflow/pkg/pay"
	problems "github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/reverify"
)

func days(n int) *int { return &n }

// fullReport has a value in every field, so that the schema is held against each.
func fullReport() keycheck.Report {
	key := keycheck.Key{ID: "5157F09EFDC096DE", Kind: keycheck.KindCertificate, State: keycheck.StateRetired, ExpiresAt: noon, DaysLeft: days(-1)}
	failure := keycheck.Failure{DeliveryID: "0195563c-7d00-7000-8000-000000000001", ReceivedAt: noon, KeyID: "PUB_KEY_ID_1", Reason: "bad_signature", Detail: "no"}
	outcome := keycheck.Outcome{Passed: 1, Failed: 1, LatestFailure: &failure}
	return keycheck.Report{
		At: noon, Asked: 2, Looked: 1, OldestAt: noon, NewestAt: noon, Cut: true, Failed: 1, Failures: []keycheck.Failure{failure},
		Merchant: keycheck.Merchant{
			MchID: string(shop), Name: "tea", Protocol: "v3", Apps: []keycheck.App{{AppID: "wx1", Kind: "app"}}, Keys: []keycheck.Key{key},
			Certificate: &keycheck.Certificate{Serial: "AB", ExpiresAt: noon, DaysLeft: days(3)}, Missing: []string{"no APIv3 key"},
			Expires: &keycheck.Expiry{What: "api_certificate", ID: "AB", ExpiresAt: noon, DaysLeft: 3},
		},
		Keys:      []keycheck.UsedKey{{Key: key, Verified: 1, LastVerifiedAt: noon}},
		Ciphers:   []keycheck.Cipher{{Setting: "api_v3_key_files", Place: 1, Decrypted: 1, LastAt: noon}},
		Modes:     []keycheck.Mode{{Mode: keycheck.KindPublicKey, Ready: true, Verified: 1, LastVerifiedAt: noon, Alone: outcome}},
		BothPass:  true,
		Rehearsal: &keycheck.Rehearsal{Without: "A", Only: "public_key", With: "B", Outcome: outcome, Samples: 2, SamplesPass: 1},
		Live:      &keycheck.Live{Accepted: true, Verified: true, AnsweredWith: "A", RequestID: "r", Detail: "yes"},
		Findings:  []keycheck.Finding{{Check: "live", Level: keycheck.LevelFail, Text: "no", Fix: "so"}},
	}
}

func TestMerchants_are_listed_with_their_keys_and_what_the_books_know(t *testing.T) {
	t.Parallel()
	s, w := withAnswers(t)
	o := s.place(shop, "TEA-1")
	d := s.pay(o, "4200000001", "EV-1")
	w.answers[bus.RequestOperateKeys] = map[string]any{"merchants": []keycheck.Merchant{fullReport().Merchant, {MchID: string(other), Protocol: "v2", Apps: []keycheck.App{}, Keys: []keycheck.Key{}, Missing: []string{}}}}
	var got struct {
		Merchants []struct {
			MchID              string
			Gear               string
			LastNotificationAt time.Time `json:"last_notification_at"`
			Keys               []keycheck.Key
		}
	}
	s.get("/operator/v1/merchants").into(t, &got)
	require.Len(t, got.Merchants, 2)
	require.Equal(t, d.ReceivedAt, got.Merchants[0].LastNotificationAt)
	require.Equal(t, "unknown", got.Merchants[0].Gear)
	require.Equal(t, "5157F09EFDC096DE", got.Merchants[0].Keys[0].ID)
	require.True(t, got.Merchants[1].LastNotificationAt.IsZero())

	w.away = errors.New("no responders")
	require.Equal(t, "FEN-5003", s.get("/operator/v1/merchants").problem(t).Code)
	require.Equal(t, "FEN-3001", s.get("/operator/v1/merchants?mchid=1900000109").problem(t).Code)
}

func TestCheck_passes_the_question_on_and_the_report_back(t *testing.T) {
	t.Parallel()
	s, w := withAnswers(t)
	w.answers[bus.RequestOperateMerchant] = fullReport()
	var q keycheck.Question
	r := s.get("/operator/v1/merchants/1900000109/check")
	require.Equal(t, http.StatusOK, r.status, r.body)
	w.question(t, bus.RequestOperateMerchant, &q)
	require.Equal(t, keycheck.Question{MchID: shop, Count: keycheck.DefaultCount}, q)
	require.JSONEq(t, marshalled(t, fullReport()), r.body, "as the worker told it")

	r = s.get("/operator/v1/merchants/1900000109/check?count=10000&without=A&only=public_key&with_key_id=PUB_KEY_ID_1&live=false&with_pem=" + url.QueryEscape("-----BEGIN PUBLIC KEY-----\n+/=\n"))
	require.Equal(t, http.StatusOK, r.status, r.body)
	w.question(t, bus.RequestOperateMerchant, &q)
	require.Equal(t, keycheck.Question{MchID: shop, Count: keycheck.MaxCount, Without: "A", Only: keycheck.KindPublicKey, With: &keycheck.NewKey{ID: "PUB_KEY_ID_1", PEM: "-----BEGIN PUBLIC KEY-----\n+/=\n"}}, q)

	w.answers[bus.RequestOperateMerchant] = problems.New(problems.UnknownMerchant, "merchant 1900000109")
	require.Equal(t, "FEN-2001", s.get("/operator/v1/merchants/1900000109/check").problem(t).Code)
	for query, field := range map[string]string{
		"?count=0": "count", "?count=10001": "count", "?count=x": "count", "?only=both": "only", "?live=yes": "live", "?with_key_id=A": "with_key_id",
		"?with_pem=" + strings.Repeat("x", 4097): "with_pem", "?without=" + strings.Repeat("x", 129): "without", "?limit=5": "limit",
	} {
		p := s.get("/operator/v1/merchants/1900000109/check" + query).problem(t)
		require.Equal(t, "FEN-3001", p.Code, query)
		require.Equal(t, field, p.Errors[0].Field, query)
	}
	require.Equal(t, "mchid", s.get("/operator/v1/merchants/x/check").problem(t).Errors[0].Field)
}

// A call to WeChat Pay takes of a budget that payments need.
func TestCheck_calls_WeChat_Pay_only_for_those_who_may_act(t *testing.T) {
	t.Parallel()
	s, w := withAnswers(t)
	w.answers[bus.RequestOperateMerchant] = fullReport()
	const live = "/operator/v1/merchants/1900000109/check?live=true"
	require.Equal(t, "FEN-3008", s.get(live).problem(t).Code)
	require.Empty(t, w.asked)
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, live, "", s.operate).status)
	var q keycheck.Question
	w.question(t, bus.RequestOperateMerchant, &q)
	require.True(t, q.Live)
}

func TestStatus_tells_what_expires_and_stands_without_a_worker(t *testing.T) {
	t.Parallel()
	s, w := withAnswers(t)
	w.answers[bus.RequestOperateKeys] = map[string]any{"merchants": []keycheck.Merchant{fullReport().Merchant}}
	w.answers[bus.RequestOperateConnections] = map[string]any{"connections": []string{}}
	type status struct {
		Keys []struct {
			MchID   string
			Expires keycheck.Expiry
			Missing []string
		}
		KeysUnknown string `json:"keys_unknown"`
	}
	var got status
	s.get("/operator/v1/status").into(t, &got)
	require.Equal(t, "AB", got.Keys[0].Expires.ID)
	require.Equal(t, []string{"no APIv3 key"}, got.Keys[0].Missing)
	require.Empty(t, got.KeysUnknown)
	for _, refused := range []error{nil, problems.New(problems.Internal, "")} {
		w.answers[bus.RequestOperateKeys] = refused
		w.away = nil
		if refused == nil {
			w.away = context.DeadlineExceeded
		}
		got = status{}
		s.get("/operator/v1/status").into(t, &got)
		require.Empty(t, got.Keys)
		require.NotEmpty(t, got.KeysUnknown)
	}
	got = status{}
	setup(t).get("/operator/v1/status").into(t, &got)
	require.Contains(t, got.KeysUnknown, "nats.url")
}

func marshalled(t *testing.T, document any) string {
	t.Helper()
	raw, err := json.Marshal(document)
	require.NoError(t, err)
	return string(raw)
}

func TestNotifications_are_listed_page_by_page(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var want []string
	for i := range 3 {
		o := s.place(shop, numbered("TEA", i))
		d := s.pay(o, pay.TransactionID("42"+string(o.OutTradeNo)), "EV-"+string(o.OutTradeNo))
		want = append([]string{string(d.ID)}, want...)
	}
	type page struct {
		Notifications []struct {
			DeliveryID string `json:"delivery_id"`
			KeyID      string `json:"key_id"`
			OutTradeNo string `json:"out_trade_no"`
		}
		NextCursor string `json:"next_cursor"`
	}
	var got []string
	for path := "/operator/v1/notifications?limit=2"; path != ""; {
		var p page
		s.get(path).into(t, &p)
		path = ""
		for _, n := range p.Notifications {
			got = append(got, n.DeliveryID)
			require.Equal(t, "PUB_KEY_ID_1", n.KeyID)
		}
		if p.NextCursor != "" {
			path = "/operator/v1/notifications?limit=2&cursor=" + p.NextCursor
		}
	}
	require.Equal(t, want, got)
	var p page
	s.get("/operator/v1/notifications?kind=answer").into(t, &p)
	require.Empty(t, p.Notifications)
	s.get("/operator/v1/notifications?mchid=1900000110").into(t, &p)
	require.Empty(t, p.Notifications)
	for _, query := range []string{"?kind=v3", "?cursor=x", "?since=yesterday", "?state=paid"} {
		require.Equal(t, "FEN-3001", s.get("/operator/v1/notifications"+query).problem(t).Code, query)
	}
}

func TestNotification_shows_its_bytes_and_what_it_did(t *testing.T) {
	t.Parallel()
	s := setup(t)
	o := s.place(shop, "TEA|*1")
	d := s.pay(o, "4200000001", "EV-1")
	var got struct {
		Body    []byte            `json:"body_base64"`
		Headers map[string]string `json:"headers"`
		Moments []struct {
			Kind, What string
			Sequence   int64
		}
		LetterState string `json:"letter_state"`
	}
	s.get("/operator/v1/notifications/"+string(d.ID)).into(t, &got)
	require.Equal(t, bytesOfLetter, string(got.Body))
	require.Equal(t, d.Headers, got.Headers)
	kinds := []string{}
	for _, m := range got.Moments {
		kinds = append(kinds, m.Kind+" "+m.What)
	}
	require.Equal(t, []string{"delivery notify_v3", "history paid", "event order.paid"}, kinds, "and not that the order was placed")
	require.Empty(t, got.LetterState)

	lettered := s.letter(o, pay.LetterMismatch)
	s.get("/operator/v1/notifications/"+string(lettered.ID)).into(t, &got)
	require.Equal(t, "open", got.LetterState)
	p := s.get("/operator/v1/notifications/0195563c-7d00-7000-8000-0000000000ff").problem(t)
	require.Equal(t, "FEN-3014", p.Code)
	_, err := s.sql.ExecContext(t.Context(), `DELETE FROM deliveries`)
	require.NoError(t, err)
	p = s.get("/operator/v1/notifications/" + string(lettered.ID)).problem(t)
	require.Equal(t, "FEN-3014", p.Code)
	require.Contains(t, p.NextStep, "fenflow dead-letter show "+string(lettered.ID))
}

func TestRejected_are_listed_and_shown_as_the_worker_tells(t *testing.T) {
	t.Parallel()
	s, w := withAnswers(t)
	sample := reverify.Sample{
		Sequence: 7, MchID: string(shop), DeliveryID: "0195563c-7d00-7000-8000-000000000001", Kind: "notify_v3", Reason: "bad_signature", Detail: "no", KeyID: "A",
		ReceivedAt: noon, Bytes: 3, Unreadable: "no pack",
	}
	w.answers[bus.RequestOperateRejected] = reverify.Page{Samples: []reverify.Sample{sample}, Before: 7}
	var page struct {
		Samples    []reverify.Sample
		NextCursor string `json:"next_cursor"`
	}
	s.get("/operator/v1/rejected?mchid=1900000109&reason=bad_signature&since=2026-03-01T00:00:00Z&limit=5").into(t, &page)
	require.Equal(t, []reverify.Sample{sample}, page.Samples)
	var q reverify.Which
	w.question(t, bus.RequestOperateRejected, &q)
	require.Equal(t, reverify.Which{Filter: reverify.Filter{MchID: shop, Reason: "bad_signature", Since: noon.Truncate(24 * time.Hour), Limit: 5}}, q)
	s.get("/operator/v1/rejected?cursor="+page.NextCursor).into(t, &page)
	w.question(t, bus.RequestOperateRejected, &q)
	require.EqualValues(t, 7, q.Before)
	w.answers[bus.RequestOperateRejected] = reverify.Page{Samples: []reverify.Sample{}}
	page.NextCursor = ""
	s.get("/operator/v1/rejected").into(t, &page)
	require.Empty(t, page.NextCursor)

	whole := reverify.Whole{Sample: sample, Headers: map[string]string{"Wechatpay-Serial": "A"}, Body: []byte("\x00\xff")}
	w.answers[bus.RequestOperateRejected] = whole
	require.JSONEq(t, marshalled(t, whole), s.get("/operator/v1/rejected/7").body)
	w.question(t, bus.RequestOperateRejected, &q)
	require.EqualValues(t, 7, q.Sequence)
	w.answers[bus.RequestOperateRejected] = problems.Newf(problems.UnknownSample, "number 8")
	require.Equal(t, "FEN-3020", s.get("/operator/v1/rejected/8").problem(t).Code)
	for _, path := range []string{"/0", "/-1", "/07", "/x", "/9223372036854775808", "?reason=unknown", "?cursor=x", "?limit=501"} {
		require.Equal(t, "FEN-3001", s.get("/operator/v1/rejected"+path).problem(t).Code, path)
	}
}

func TestRejected_are_published_by_name_and_for_a_reason(t *testing.T) {
	t.Parallel()
	s, w := withAnswers(t)
	verdict := reverify.Verdict{
		Sequence: 7, DeliveryID: "d", MchID: string(shop), Kind: "notify_v3", ReceivedAt: noon, RejectedFor: "unknown_serial", Passes: true, KeyID: "A",
		Reason: "r", Detail: "d", EventType: "e", OutTradeNo: "o", TransactionID: "t", Published: true, Unpublished: "u",
	}
	found := map[string]any{"samples": []reverify.Verdict{verdict}}
	w.answers[bus.RequestOperateReverify], w.answers[bus.RequestOperatePublish] = found, found
	require.JSONEq(t, marshalled(t, found), s.get("/operator/v1/rejected-verdicts?sequence=7&sequence=8").body)
	var act reverify.Act
	w.question(t, bus.RequestOperateReverify, &act)
	require.Equal(t, reverify.Act{Sequences: []uint64{7, 8}}, act)
	for _, query := range []string{"", "?sequence=0", "?sequence=x", "?sequences=1", strings.Repeat("&sequence=1", 101)[1:]} {
		require.Equal(t, "FEN-3001", s.get("/operator/v1/rejected-verdicts?"+strings.TrimPrefix(query, "?")).problem(t).Code, query)
	}

	const path = "/operator/v1/rejected-publications"
	delete(w.asked, bus.RequestOperatePublish)
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, path, `{"sequences":[7],"reason":"x"}`, s.read).problem(t).Code)
	for _, body := range []string{`{"sequences":[7]}`, `{"reason":"x"}`, `{"sequences":[],"reason":"x"}`, `{"sequences":[0],"reason":"x"}`, `{"sequences":[-1],"reason":"x"}`,
		`{"sequences":["7"],"reason":"x"}`, `{"sequences":[7],"reason":" "}`, `{"sequences":[7],"reason":"x","actor":"token:somebody"}`} {
		require.Equal(t, "FEN-3001", s.post(path, body).problem(t).Code, body)
	}
	require.Empty(t, w.asked[bus.RequestOperatePublish], "nothing of that reached a worker")
	require.JSONEq(t, marshalled(t, found), s.post(path, `{"sequences":[7],"reason":"the key is configured now"}`).body)
	w.question(t, bus.RequestOperatePublish, &act)
	require.Equal(t, reverify.Act{Sequences: []uint64{7}, Actor: "token:night-shift", Why: "the key is configured now"}, act)
	require.Equal(t, "FEN-5003", setup(t).post(path, `{"sequences":[7],"reason":"x"}`).problem(t).Code, "without a broker")
}

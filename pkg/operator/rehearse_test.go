package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/replay"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// hall is a worker without a broker between: what it answers is answered by the
// parts that answer in the worker. Its merchants' messages are in plain words.
type hall struct {
	*replay.Service

	mu    sync.Mutex
	lane  []wechatpay.Envelope
	away  error
	asked []string
}

func (h *hall) Request(ctx context.Context, subject string, data []byte, _ time.Duration) ([]byte, error) {
	h.mu.Lock()
	h.asked = append(h.asked, subject+" "+string(data))
	away := h.away
	h.mu.Unlock()
	if away != nil {
		return nil, away
	}
	switch subject {
	case bus.RequestOperateRehearse:
		return h.Rehearse(ctx, data)
	case bus.RequestOperateReplay:
		return h.Replay(ctx, data)
	case bus.RequestOperateRepublish:
		return h.Republish(ctx, data)
	case bus.RequestOperateLane:
		return h.Follow(ctx, data)
	}
	return nil, errors.New("nobody serves " + subject)
}

func (h *hall) PublishReplays(_ context.Context, envelopes []wechatpay.Envelope) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lane = append(h.lane, envelopes...)
	return uint64(len(h.lane)), nil
}

func (h *hall) ReplayLane(context.Context) (pay.Lane, error) {
	return pay.Lane{Acknowledged: 41, Waiting: 2}, nil
}

// Credentials, Refresh and Hand are what settling has around it.
func (h *hall) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	return &merchant.Credentials{Merchant: merchant.Merchant{MchID: id}}, true
}
func (h *hall) Refresh(context.Context, pay.MchID) error { return errors.New("nobody is asked") }
func (h *hall) Hand([]pay.Outgoing)                      {}

func withHall(h *hall) func(*operator.Options) {
	return func(o *operator.Options) {
		books, log := o.Books.(*store.Store), slog.New(slog.DiscardHandler)
		settler := settle.New(settle.Options{
			Books: books, Rehearsals: books, Merchants: h, Keys: h, Relay: h, Retryable: store.Retryable, Open: inPlainWords, Now: o.Now,
			Log: log, Registry: prometheus.NewRegistry(),
		})
		h.Service = replay.New(replay.Options{Archive: books, Settler: settler, Lane: h, Retryable: store.Retryable, Log: log})
		o.Worker = h
	}
}

func inPlainWords(env wechatpay.Envelope, credentials *merchant.Credentials) (wechatpay.Notification, error) {
	n := wechatpay.Notification{DeliveryID: env.DeliveryID, MchID: env.MchID, ReceivedAt: env.ReceivedAt, KeyID: "PUB_KEY_ID_1"}
	if json.Unmarshal(env.Body, &n) != nil {
		return wechatpay.Open(env, credentials)
	}
	return n, nil
}

// saying is a delivery that tells of a payment, or of a refund of half of it.
func saying(o pay.Order, tx pay.TransactionID, refund string) pay.Delivery {
	d := delivery(o, tx, "EV-"+string(tx))
	said := map[string]any{"Transaction": wechatpay.Transaction{
		MchID: o.MchID, AppID: o.AppID, OutTradeNo: o.OutTradeNo, TransactionID: tx, State: wechatpay.TradeSuccess, Total: price, PayerTotal: price, Currency: pay.CNY, PaidAt: noon,
	}}
	if refund != "" {
		said = map[string]any{"Refund": wechatpay.RefundNotice{OutTradeNo: o.OutTradeNo, TransactionID: tx, OutRefundNo: pay.OutRefundNo(refund), RefundID: "50", Refund: price / 2, Status: "SUCCESS", SucceededAt: noon}}
	}
	d.Body, _ = json.Marshal(said)
	return d
}

// stored has a delivery fail once, so that it is a dead letter.
func (s *stage) stored(d pay.Delivery, reason pay.LetterReason) pay.Delivery {
	s.t.Helper()
	s.settle(pay.Entry{Delivery: &d, Letter: &pay.LetterCause{Reason: reason, Detail: "it did not fit"}})
	return d
}

func ids(deliveries ...pay.Delivery) string {
	texts := make([]string, len(deliveries))
	for i, d := range deliveries {
		texts[i] = `"` + string(d.ID) + `"`
	}
	return `"delivery_ids":[` + strings.Join(texts, ",") + `]`
}

func TestRehearsal_tells_what_would_change_and_changes_nothing(t *testing.T) {
	t.Parallel()
	h := &hall{}
	s := setup(t, withHall(h))
	tea, cake := s.place(shop, "order-0001"), s.place(shop, "order-0002")
	closed := order(other, "T|odd*1")
	paid, double := s.stored(saying(tea, "4201", ""), pay.LetterUnknownOrder), s.stored(saying(tea, "4202", ""), pay.LetterDecryptFailed)
	refund := s.stored(saying(tea, "4201", "R-1"), pay.LetterMalformed)
	nobody, garbage := s.stored(saying(closed, "4203", ""), pay.LetterUnknownOrder), s.stored(delivery(cake, "4204", "EV-9"), pay.LetterMalformed)
	discarded := s.stored(saying(cake, "4205", ""), pay.LetterMismatch)
	s.set(discarded, "state = 'discarded', next_retry_at = NULL")
	before := s.text(`SELECT (SELECT string_agg(l::text, '' ORDER BY delivery_id) FROM dead_letters AS l) || (SELECT string_agg(o::text, '' ORDER BY out_trade_no) FROM orders AS o)
		|| (SELECT count(*) FROM payments) || (SELECT count(*) FROM outbox) || (SELECT count(*) FROM audit)`)

	var dry operatorapi.Rehearsal
	s.post("/operator/v1/rehearsals", "{"+ids(paid, double, refund, nobody, garbage, discarded)+"}").into(t, &dry)
	var told []string
	for _, d := range dry.Deliveries {
		told = append(told, string(d.Outcome))
	}
	require.Equal(t, []string{"applied", "applied", "applied", "lettered", "lettered", "refused"}, told)
	require.Equal(t, operatorapi.RehearsalTotals{Deliveries: 6, Applied: 3, Lettered: 2, Refused: 1, History: 5, Payments: 3, Anomalies: 1, Refunds: 2, Events: 4, Resolved: 3}, dry.Totals)
	first := dry.Deliveries[0]
	require.Equal(t, []int64{1, 2}, []int64{*first.Order.Sequence, *first.Order.SequenceAfter})
	require.Equal(t, "created paid waiting resolved", fmt.Sprintf("%s %s %s %s", *first.Order.State, *first.Order.StateAfter, *first.Letter.State, first.Letter.StateAfter))
	require.Equal(t, "order.paid", (*first.Events)[0].Fact)
	require.EqualValues(t, 2, *dry.Deliveries[1].Order.Sequence, "the second of an order finds the first")
	require.Equal(t, "double_payment", (*dry.Deliveries[1].Anomalies)[0].Kind)
	require.EqualValues(t, 0, *dry.Deliveries[3].Order.Sequence, "there is no such order")
	require.Equal(t, "T|odd*1", dry.Deliveries[3].Order.OutTradeNo)
	require.Equal(t, "bad_signature", *dry.Deliveries[4].Reason)
	require.Nil(t, dry.Deliveries[4].Order)
	require.Equal(t, "a person discarded it", *dry.Deliveries[5].Detail)
	require.Equal(t, before, s.text(`SELECT (SELECT string_agg(l::text, '' ORDER BY delivery_id) FROM dead_letters AS l) || (SELECT string_agg(o::text, '' ORDER BY out_trade_no) FROM orders AS o)
		|| (SELECT count(*) FROM payments) || (SELECT count(*) FROM outbox) || (SELECT count(*) FROM audit)`))
	require.Empty(t, h.lane)

	// What it told is what is done, with the books as they were seen.
	expect := `"orders":[{"mchid":"1900000109","out_trade_no":"order-0001","sequence":1},{"mchid":"1900000110","out_trade_no":"T|odd*1","sequence":0}],"reason":"the key is there"`
	var done operatorapi.Rehearsal
	s.post("/operator/v1/rehearsed-replays", "{"+ids(paid, double, refund, nobody, garbage)+","+expect+"}").into(t, &done)
	require.Equal(t, dry.Deliveries[:5], done.Deliveries)
	require.Equal(t, "5", s.text(`SELECT count(*) FROM audit WHERE actor = 'token:night-shift' AND action = 'dead_letter.replay' AND detail ->> 'reason' = 'the key is there'`))
	p := s.post("/operator/v1/rehearsed-replays", "{"+ids(paid)+","+expect+"}").problem(t)
	require.Equal(t, "FEN-4016", p.Code)
	require.Equal(t, "order order-0001 of merchant 1900000109 had sequence 1, and has 6 now", p.Detail)
	require.Equal(t, "FEN-4013", s.post("/operator/v1/rehearsed-replays", "{"+ids(discarded)+","+expect+"}").problem(t).Code)
	again := s.post("/operator/v1/rehearsals", "{"+ids(paid, double)+"}")
	again.into(t, &dry)
	require.Equal(t, 2, dry.Totals.Unchanged)
	require.Zero(t, dry.Totals.Events)
}

func TestRehearsal_reports_busy_rows(t *testing.T) {
	t.Parallel()
	s := setup(t, withHall(&hall{}))
	tea, cake := s.place(shop, "order-0001"), s.place(shop, "order-0002")
	one, two := s.stored(saying(tea, "4201", ""), pay.LetterUnknownOrder), s.stored(saying(cake, "4202", ""), pay.LetterUnknownOrder)
	tx, err := s.sql.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), `SELECT 1 FROM orders WHERE out_trade_no = 'order-0002' FOR UPDATE`)
	require.NoError(t, err)
	var dry operatorapi.Rehearsal
	s.post("/operator/v1/rehearsals", "{"+ids(one, two)+"}").into(t, &dry)
	require.Equal(t, "applied busy", string(dry.Deliveries[0].Outcome)+" "+string(dry.Deliveries[1].Outcome))
	require.Nil(t, dry.Deliveries[1].Order.Sequence)
	refused := s.post("/operator/v1/rehearsed-replays", "{"+ids(two)+`,"orders":[{"mchid":"1900000109","out_trade_no":"order-0002","sequence":1}],"reason":"x"}`)
	require.Equal(t, "FEN-4017", refused.problem(t).Code)
	require.NotEmpty(t, refused.header.Get("Retry-After"))
	require.NoError(t, tx.Rollback())
}

func TestReplay_of_what_may_end_a_worker_is_left_to_those_who_count(t *testing.T) {
	t.Parallel()
	s := setup(t, withHall(&hall{}))
	d := s.stored(saying(s.place(shop, "order-0001"), "4201", ""), pay.LetterInternal)
	_, err := s.CountAttempt(t.Context(), shop, d.ID)
	require.NoError(t, err)
	var dry operatorapi.Rehearsal
	s.post("/operator/v1/rehearsals", "{"+ids(d)+"}").into(t, &dry)
	require.Equal(t, "refused", string(dry.Deliveries[0].Outcome))
	require.Contains(t, *dry.Deliveries[0].Detail, "1 readings of it ended with no result")
	p := s.post("/operator/v1/rehearsed-replays", "{"+ids(d)+`,"orders":[],"reason":"x"}`).problem(t)
	require.Equal(t, "FEN-4015", p.Code)
}

func TestNotifications_go_on_the_lane_as_they_came(t *testing.T) {
	t.Parallel()
	h := &hall{}
	s := setup(t, withHall(h))
	tea := s.place(shop, "order-0001")
	var all []pay.Delivery
	for i := range 3 {
		all = append(all, s.pay(tea, pay.TransactionID(fmt.Sprintf("42%d", i)), fmt.Sprintf("EV-%d", i)))
	}
	letter, discarded := s.letter(tea, pay.LetterMismatch), s.letter(tea, pay.LetterMismatch)
	s.set(discarded, "state = 'discarded'")
	answered := delivery(tea, "429", "")
	answered.Kind = pay.DeliveryAnswer
	s.settle(pay.Entry{Delivery: &answered})

	var page operatorapi.ReplayablePage
	s.get("/operator/v1/replayable-notifications?limit=3").into(t, &page)
	require.Equal(t, 4, *page.Count)
	require.Len(t, page.Notifications, 3)
	require.Equal(t, string(all[0].ID), page.Notifications[0].DeliveryID)
	var rest operatorapi.ReplayablePage
	s.get("/operator/v1/replayable-notifications?limit=3&cursor="+*page.NextCursor).into(t, &rest)
	require.Nil(t, rest.Count)
	require.Len(t, rest.Notifications, 1)
	require.Equal(t, string(letter.ID), rest.Notifications[0].DeliveryID)
	at := func(after time.Duration) string {
		return url.QueryEscape(time.Now().Add(after).UTC().Format(time.RFC3339))
	}
	s.get("/operator/v1/replayable-notifications?since="+at(-time.Hour)+"&until="+at(time.Hour)+"&mchid="+string(shop)).into(t, &page)
	require.Len(t, page.Notifications, 4)
	for _, none := range []string{"since=" + at(time.Hour), "until=" + at(-time.Hour), "mchid=" + string(other)} {
		s.get("/operator/v1/replayable-notifications?"+none).into(t, &page)
		require.Empty(t, page.Notifications, none)
	}

	var sent operatorapi.Republished
	s.post("/operator/v1/notification-replays", "{"+ids(all[2], all[0], discarded, answered, letter, all[0])+`,"reason":"a new rule"}`).into(t, &sent)
	require.Len(t, sent.DeliveryIds, 3)
	require.EqualValues(t, 3, sent.Position)
	require.Len(t, h.lane, 3)
	require.Equal(t, wechatpay.Envelope{DeliveryID: all[2].ID, MchID: shop, Kind: all[2].Kind, ReceivedAt: all[2].ReceivedAt, Headers: all[2].Headers, Body: all[2].Body}, h.lane[0])
	require.Equal(t, "3", s.text(`SELECT detail ->> 'count' FROM audit WHERE action = 'notification.replay' AND actor = 'token:night-shift' AND detail ->> 'reason' = 'a new rule'`))
	var lane operatorapi.ReplayLane
	s.get("/operator/v1/replay-lane").into(t, &lane)
	require.Equal(t, operatorapi.ReplayLane{Acknowledged: 41, Waiting: 2}, lane)
}

func TestRehearsals_and_replays_that_are_not_understood_are_refused(t *testing.T) {
	t.Parallel()
	h := &hall{}
	s := setup(t, withHall(h))
	one := `"delivery_ids":["` + uuid.NewString() + `"]`
	many := strings.TrimSuffix(strings.Repeat(`"`+uuid.NewString()+`",`, 51), ",")
	for _, row := range []struct{ path, body, fields string }{
		{"rehearsals", `{}`, "delivery_ids"},
		{"rehearsals", `{"delivery_ids":[` + many + `]}`, "delivery_ids"},
		{"rehearsals", `{` + one + `,"reason":"x"}`, "reason"},
		{"rehearsed-replays", `{` + one + `}`, "orders reason"},
		{"rehearsed-replays", `{` + one + `,"orders":[{"mchid":"1"}],"reason":"x"}`, "orders"},
		{"rehearsed-replays", `{` + one + `,"orders":[{"mchid":"1","out_trade_no":"T","sequence":-1}],"reason":"x"}`, "orders"},
		{"rehearsed-replays", `{` + one + `,"orders":null,"reason":""}`, "orders reason"},
		{"notification-replays", `{` + one + `}`, "reason"},
		{"notification-replays", `{"reason":"x"}`, "delivery_ids"},
	} {
		p := s.post("/operator/v1/"+row.path, row.body).problem(t)
		require.Equal(t, "FEN-3001", p.Code, row)
		var named []string
		for _, e := range p.Errors {
			named = append(named, e.Field)
		}
		require.Equal(t, row.fields, strings.Join(named, " "), row)
	}
	require.Empty(t, h.asked, "no worker is bothered with it")
	for _, path := range []string{"rehearsals", "rehearsed-replays", "notification-replays"} {
		require.Equal(t, "FEN-3008", s.do(http.MethodPost, "/operator/v1/"+path, `{}`, s.read).problem(t).Code)
		require.Equal(t, "FEN-3010", s.do(http.MethodPost, "/operator/v1/"+path, `{}`, "").problem(t).Code)
	}
	require.Equal(t, "FEN-3014", s.post("/operator/v1/rehearsals", "{"+one+"}").problem(t).Code)
	require.Equal(t, "FEN-3001", s.get("/operator/v1/replayable-notifications?until=tomorrow").problem(t).Code)
	require.Equal(t, "FEN-3001", s.get("/operator/v1/replayable-notifications?cursor=x").problem(t).Code)

	h.away = context.DeadlineExceeded
	p := s.post("/operator/v1/rehearsed-replays", "{"+one+`,"orders":[],"reason":"x"}`).problem(t)
	require.Equal(t, "FEN-4004", p.Code)
	require.Contains(t, p.NextStep, "as a whole or not at all")
	h.away = errors.New("nobody answers")
	require.Equal(t, "FEN-5003", s.get("/operator/v1/replay-lane").problem(t).Code)
	require.Equal(t, "FEN-5003", setup(t).post("/operator/v1/rehearsals", "{"+one+"}").problem(t).Code)
}

func TestDiscard_a_second_time_says_who_was_first_and_why(t *testing.T) {
	t.Parallel()
	s := setup(t)
	d := s.letter(order(shop, "order-0001"), pay.LetterMismatch)
	var letter operatorapi.Letter
	path := "/operator/v1/dead-letters/" + string(d.ID) + "/discard"
	s.post(path, `{"reason":"a forgery"}`).into(t, &letter)
	require.Equal(t, "token:night-shift a forgery false", fmt.Sprint(*letter.Discard.Actor, " ", *letter.Discard.Reason, " ", letter.Discard.Again))
	s.post(path, `{"reason":"another reason"}`).into(t, &letter)
	require.Equal(t, "token:night-shift a forgery true", fmt.Sprint(*letter.Discard.Actor, " ", *letter.Discard.Reason, " ", letter.Discard.Again))
	require.Equal(t, "1", s.text(`SELECT count(*) FROM audit WHERE action = 'dead_letter.discard'`))
}

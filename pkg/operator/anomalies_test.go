package operator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

// worker carries commands out at once, on the same books, as the one behind the
// stream does.
type worker struct {
	*command.Service

	lost bool // results do not come in time
	err  error
}

func (w *worker) SubmitCommand(ctx context.Context, c pay.Command, _ time.Duration) (pay.CommandResult, bool, error) {
	if w.err != nil {
		return pay.CommandResult{}, false, w.err
	}
	result, err := w.Execute(ctx, c)
	return result, err == nil && !w.lost, nil
}

// everybody is a directory in which each merchant is configured.
type everybody struct{}

func (everybody) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	return &merchant.Credentials{Merchant: merchant.Merchant{MchID: id}}, true
}
func (everybody) WeChat(pay.MchID) (command.WeChat, bool) { return nil, false }

type nobody struct{}

func (nobody) Hand([]pay.Outgoing)                                    {}
func (nobody) WakeOrder(context.Context, pay.MchID, pay.OutTradeNo)   {}
func (nobody) WakeRefund(context.Context, pay.MchID, pay.OutRefundNo) {}

// withWorker makes a stage whose commands are carried out.
func withWorker(t *testing.T) (*stage, *worker) {
	t.Helper()
	w := &worker{}
	s := setup(t, func(o *operator.Options) {
		books, _ := o.Books.(*store.Store)
		w.Service = command.New(command.Options{
			Books: books, Merchants: everybody{}, Relay: nobody{}, Waker: nobody{}, Retryable: store.Retryable, Now: o.Now, Log: slog.New(slog.DiscardHandler),
		})
		o.Commands = w
	})
	return s, w
}

// held has money come that a person must decide about.
func (s *stage) held(o pay.Order, tx pay.TransactionID, amount pay.Fen, at time.Time) {
	s.t.Helper()
	_, err := s.Settle(s.t.Context(), []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedPaid, Source: pay.SourceQuery, ObservedAt: at, MchID: o.MchID, OutTradeNo: o.OutTradeNo,
		AppID: o.AppID, TransactionID: tx, Amount: amount, PayerTotal: amount, Currency: pay.CNY, PaidAt: noon.Add(time.Second),
	}}}, func(pay.MchID) pay.Policies {
		return pay.Policies{LatePayment: pay.PolicyHold, DoublePayment: pay.PolicyHold}
	})
	require.NoError(s.t, err)
}

// returned has WeChat Pay say that a refund of a payment ended.
func (s *stage) returned(o pay.Order, tx pay.TransactionID, no pay.OutRefundNo, amount pay.Fen) {
	s.t.Helper()
	s.settle(pay.Entry{Observation: &pay.Observation{
		Kind: pay.ObservedRefund, Source: pay.SourceQuery, ObservedAt: s.clock.Now(), MchID: o.MchID, OutTradeNo: o.OutTradeNo, TransactionID: tx,
		OutRefundNo: no, RefundAmount: amount, Currency: pay.CNY, RefundState: pay.RefundSucceeded, RefundID: "50" + string(no), SucceededAt: noon,
	}})
}

func TestAnomalies_are_listed_page_by_page(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for i := range 5 {
		mchid := []pay.MchID{shop, other}[i%2]
		s.held(s.place(mchid, numbered("ODD", i)), pay.TransactionID(fmt.Sprintf("42-%d", i)), price-1, noon.Add(time.Hour))
	}
	double := s.place(shop, "DOUBLE-1")
	s.pay(double, "42-first", "EV-1")
	s.held(double, "42-second", price, noon.Add(2*time.Hour))
	var seen []string
	for cursor := ""; ; {
		var page operatorapi.AnomalyPage
		s.get("/operator/v1/anomalies?limit=2"+cursor).into(t, &page)
		for _, a := range page.Anomalies {
			seen = append(seen, a.TransactionID)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(*page.NextCursor)
	}
	require.Equal(t, []string{"42-0", "42-2", "42-4", "42-1", "42-3", "42-second"}, seen)
	for query, want := range map[string]int{
		"": 6, "?kind=double_payment": 1, "?mchid=1900000110": 2, "?state=accepted": 0, "?since=" + noon.Add(90*time.Minute).Format(time.RFC3339): 1,
		"?state=open&kind=amount_mismatch&mchid=1900000109": 3,
	} {
		var page operatorapi.AnomalyPage
		s.get("/operator/v1/anomalies"+query).into(t, &page)
		require.Len(t, page.Anomalies, want, query)
	}
	for query, field := range map[string]string{
		"?kind=odd": "kind", "?state=undecided": "state", "?mchid=1": "mchid", "?limit=0": "limit", "?cursor=x": "cursor", "?colour=red": "colour",
	} {
		require.Equal(t, field, s.get("/operator/v1/anomalies" + query).problem(t).Errors[0].Field, query)
	}
}

func TestAnomaly_tells_what_each_decision_would_do(t *testing.T) {
	t.Parallel()
	s := setup(t)
	o := s.place(shop, "WRONG-1")
	s.held(o, "42-wrong", price-1, noon)
	var a operatorapi.AnomalyStory
	s.get("/operator/v1/anomalies/42-wrong").into(t, &a)
	require.Equal(t, []string{"WRONG-1", "amount_mismatch", "open", "hold"}, []string{a.Anomaly.OutTradeNo, a.Anomaly.Kind, a.Anomaly.State, a.Anomaly.Policy})
	require.Equal(t, operatorapi.AnomalyChoice{Possible: true, OrderPaid: true, Detail: "order WRONG-1 becomes paid by it, and order.paid is told: deliver"}, a.Accept)
	require.Equal(t, operatorapi.AnomalyChoice{Possible: true, OutRefundNo: new("auto-42-wrong"), RefundFen: new(int64(99)), Detail: "99 fen go back to the buyer, by refund auto-42-wrong"}, a.Refund)
	require.EqualValues(t, price-1, a.Payment.AmountFen)
	require.Equal(t, pay.OrderCreated, pay.OrderState(a.Order.State), "looking changes nothing")

	s.pay(o, "42-right", "EV-1")
	s.get("/operator/v1/anomalies/42-wrong?kind=amount_mismatch&mchid=1900000109").into(t, &a)
	require.False(t, a.Accept.OrderPaid)
	require.Contains(t, a.Accept.Detail, "payment 42-right paid order WRONG-1, and nothing is delivered for this one")

	s.returned(o, "42-wrong", "R1", price-1)
	s.get("/operator/v1/anomalies/42-wrong").into(t, &a)
	require.Equal(t, "refunded", a.Anomaly.State)
	require.False(t, a.Accept.Possible)
	require.Contains(t, a.Accept.Detail, "all of payment 42-wrong was given back by ")
	require.Equal(t, "nothing more: it is refunded", a.Refund.Detail)
	require.Len(t, a.Refunds, 1)
}

func TestAnomaly_is_decided_once(t *testing.T) {
	t.Parallel()
	s, _ := withWorker(t)
	o := s.place(shop, "WRONG-1")
	s.held(o, "42-wrong", price-1, noon)
	const accept, refund = "/operator/v1/anomalies/42-wrong/accept", "/operator/v1/anomalies/42-wrong/refund"
	var d operatorapi.Decision
	first := s.post(accept, `{"reason":"the shop takes 99"}`)
	first.into(t, &d)
	require.Equal(t, []string{"accepted", "accept", "token:night-shift", "the shop takes 99"}, []string{d.Anomaly.State, *d.Anomaly.Decision, *d.Anomaly.DecidedBy, *d.Anomaly.DecisionReason})
	require.Equal(t, []string{"paid", "42-wrong"}, []string{string(d.Order.State), *d.Order.TransactionID})
	require.Nil(t, d.Refund)
	require.JSONEq(t, first.body, s.post(accept, `{"reason":"again","kind":"amount_mismatch"}`).body)
	refused := s.post(refund, `{"reason":"no"}`).problem(t)
	require.Equal(t, "FEN-4025", refused.Code)
	require.Contains(t, refused.Detail, "by token:night-shift on ")
	require.Equal(t, "1", s.text(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, "anomaly.accept token:night-shift the shop takes 99", s.text(`SELECT action || ' ' || actor || ' ' || (detail->>'reason') FROM audit WHERE actor LIKE 'token:%'`))
	require.Contains(t, s.logs.String(), "kind=anomaly.accept")

	var story operatorapi.Story
	s.get("/operator/v1/stories/WRONG-1").into(t, &story)
	require.Equal(t, "the shop takes 99", *story.Anomalies[0].DecisionReason)
	var told []string
	for _, m := range story.Timeline {
		if m.Actor != nil || m.Source != nil && *m.Source == "operator" {
			told = append(told, m.What)
		}
	}
	require.Equal(t, []string{"anomaly.hold", "anomaly.accept", "decision_accept", "paid"}, sorted(told))
}

// sorted keeps a test from depending on which of two clocks is ahead.
func sorted(words []string) []string {
	var first, rest []string
	for _, w := range words {
		if strings.HasPrefix(w, "anomaly.") {
			first = append(first, w)
		} else {
			rest = append(rest, w)
		}
	}
	return append(first, rest...)
}

func TestAnomaly_is_given_back_once(t *testing.T) {
	t.Parallel()
	s, _ := withWorker(t)
	o := s.place(shop, "WRONG-1")
	s.held(o, "42-wrong", price-1, noon)
	const accept, refund = "/operator/v1/anomalies/42-wrong/accept?mchid=1900000109", "/operator/v1/anomalies/42-wrong/refund"
	var d operatorapi.Decision
	first := s.post(refund, `{"reason":"wrong price"}`)
	first.into(t, &d)
	require.Equal(t, []string{"open", "refund", "auto-42-wrong", "requested"}, []string{d.Anomaly.State, *d.Anomaly.Decision, d.Refund.OutRefundNo, d.Refund.State})
	require.JSONEq(t, first.body, s.post(refund, `{"reason":"again"}`).body)
	require.Equal(t, "FEN-4026", s.post(accept, `{"reason":"no"}`).problem(t).Code)
	s.returned(o, "42-wrong", "auto-42-wrong", price-1)
	s.post(refund, `{"reason":"again"}`).into(t, &d)
	require.Equal(t, "refunded", d.Anomaly.State)
	require.Equal(t, "FEN-4025", s.post(accept, `{"reason":"no"}`).problem(t).Code)
	require.Equal(t, "0", s.text(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
}

func TestAnomaly_of_a_refund_that_went_over_is_only_acknowledged(t *testing.T) {
	t.Parallel()
	s, _ := withWorker(t)
	o := s.place(shop, "OVER-1")
	s.pay(o, "42-over", "EV-1")
	s.returned(o, "42-over", "P1", price)
	s.returned(o, "42-over", "P2", 7)
	s.returned(o, "42-over", "P3|*", 8)
	p := s.get("/operator/v1/anomalies/42-over").problem(t)
	require.Equal(t, "FEN-4027", p.Code)
	require.Equal(t, "it may be refund_overrun of merchant 1900000109 by refund P2, refund_overrun of merchant 1900000109 by refund P3|*", p.Detail)
	var a operatorapi.AnomalyStory
	s.get("/operator/v1/anomalies/42-over?out_refund_no="+url.QueryEscape("P3|*")).into(t, &a)
	require.Equal(t, "the anomaly is closed; what went back is booked already", a.Accept.Detail)
	require.False(t, a.Refund.Possible)
	require.Equal(t, "FEN-4027", s.post("/operator/v1/anomalies/42-over/accept", `{"reason":"seen"}`).problem(t).Code)
	require.Equal(t, "FEN-4002", s.post("/operator/v1/anomalies/42-over/refund", `{"reason":"seen","kind":"refund_overrun","out_refund_no":"P2"}`).problem(t).Code)
	var d operatorapi.Decision
	s.post("/operator/v1/anomalies/42-over/accept", `{"reason":"seen","out_refund_no":"P3|*"}`).into(t, &d)
	require.Equal(t, []string{"accepted", "P3|*", "paid"}, []string{d.Anomaly.State, *d.Anomaly.OutRefundNo, string(d.Order.State)})
}

func TestAnomaly_decisions_refuse_bad_input(t *testing.T) {
	t.Parallel()
	s, w := withWorker(t)
	for _, mchid := range []pay.MchID{shop, other} { // the same number at two merchants
		s.held(s.place(mchid, "WRONG-1"), "42-wrong", price-1, noon)
	}
	const accept = "/operator/v1/anomalies/42-wrong/accept"
	const mine = accept + "?mchid=1900000109"
	require.Equal(t, "FEN-4027", s.post(accept, `{"reason":"x"}`).problem(t).Code)
	require.Equal(t, "FEN-3022", s.post("/operator/v1/anomalies/42-none/accept", `{"reason":"x"}`).problem(t).Code)
	unknown := s.post(mine, `{"reason":"x","kind":"late_payment"}`).problem(t)
	require.Equal(t, []string{"FEN-3022", "payment 42-wrong has amount_mismatch of merchant 1900000109"}, []string{unknown.Code, unknown.Detail})
	require.Equal(t, "transaction_id", s.get("/operator/v1/anomalies/42%00").problem(t).Errors[0].Field)
	for body, field := range map[string]string{
		`{}`: "reason", `{"reason":" "}`: "reason", `{"reason":"x","kind":"odd"}`: "kind", `{"reason":"x","kind":null}`: "kind",
		`{"reason":"x","out_refund_no":"a b"}`: "out_refund_no", `{"reason":"x","force":true}`: "force",
	} {
		require.Equal(t, field, s.post(mine, body).problem(t).Errors[0].Field, body)
	}
	require.Equal(t, "mchid", s.post(accept+"?mchid=x", `{"reason":"x"}`).problem(t).Errors[0].Field)
	require.Equal(t, "out_refund_no", s.get("/operator/v1/anomalies/42-wrong?out_refund_no=a%20b").problem(t).Errors[0].Field)
	require.Equal(t, http.StatusForbidden, s.do(http.MethodPost, mine, `{"reason":"x"}`, s.read).status)
	require.Equal(t, http.StatusForbidden, s.do(http.MethodPost, strings.Replace(mine, "accept", "refund", 1), `{"reason":"x"}`, s.read).status)
	require.Equal(t, http.StatusUnauthorized, s.do(http.MethodPost, mine, `{"reason":"x"}`, "").status)
	require.Equal(t, http.StatusMethodNotAllowed, s.get(mine).status)
	require.Equal(t, "0", s.text(`SELECT count(*) FROM anomalies WHERE decision <> ''`))

	// What is stored and not answered yet is carried out all the same; a repeat tells.
	w.lost = true
	late := s.post(mine, `{"reason":"x"}`).problem(t)
	require.Equal(t, "FEN-4004", late.Code)
	require.Contains(t, late.NextStep, "fenflow anomaly show 42-wrong")
	require.Equal(t, "1", s.text(`SELECT count(*) FROM anomalies WHERE decision = 'accept'`))
	w.err = errors.New("no broker")
	require.Equal(t, "FEN-5001", s.post(mine, `{"reason":"x"}`).problem(t).Code)
	bare := setup(t)
	bare.held(bare.place(shop, "WRONG-1"), "42-wrong", price-1, noon)
	require.Equal(t, "FEN-5003", bare.post(mine, `{"reason":"x"}`).problem(t).Code)
}

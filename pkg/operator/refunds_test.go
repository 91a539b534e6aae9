package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/request"
)

// standIn stands behind the bus: it keeps what it is handed and answers as it was told.
type standIn struct {
	mu        sync.Mutex
	commands  []pay.Command
	questions map[string]string
	result    pay.CommandResult
	silent    bool
	answer    string
	err       error
}

func (w *standIn) SubmitCommand(_ context.Context, c pay.Command, _ time.Duration) (pay.CommandResult, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commands = append(w.commands, c)
	return w.result, !w.silent, w.err
}

func (w *standIn) Request(_ context.Context, subject string, data []byte, _ time.Duration) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.questions == nil {
		w.questions = map[string]string{}
	}
	w.questions[subject] = string(data)
	return []byte(w.answer), w.err
}

func setupWithWorker(t *testing.T) (*stage, *standIn) {
	t.Helper()
	w := &standIn{result: pay.CommandResult{Status: http.StatusOK, Body: []byte("{}")}, answer: `{"status":200,"body":{}}`}
	s := setup(t, func(o *operator.Options) { o.Worker, o.Commands, o.Quarantine = w, w, 10*time.Minute })
	return s, w
}

const tx = pay.TransactionID("4200000000000000000000000001")

// refunded is a paid order with a refund of it, and what WeChat Pay said of that.
func (s *stage) refunded(o pay.Order, transaction pay.TransactionID, no pay.OutRefundNo, words ...pay.RefundState) {
	s.t.Helper()
	s.settle(pay.Entry{Observation: &pay.Observation{
		Kind: pay.ObservedRefundRequested, Source: pay.SourceCommand, ObservedAt: noon.Add(time.Hour), Origin: pay.RefundByCommand, MchID: o.MchID, OutTradeNo: o.OutTradeNo,
		TransactionID: transaction, Currency: pay.CNY, OutRefundNo: no, RefundAmount: 30, Reason: "cold tea", Digest: string(no),
	}})
	for _, state := range words {
		d := delivery(o, transaction, "")
		s.settle(pay.Entry{Delivery: &d, Observation: &pay.Observation{
			Kind: pay.ObservedRefund, Source: pay.SourceNotification, ObservedAt: noon.Add(2 * time.Hour), KeyID: "PUB_KEY_ID_1", DeliveryID: d.ID, MchID: o.MchID,
			OutTradeNo: o.OutTradeNo, TransactionID: transaction, OutRefundNo: no, RefundAmount: 30, RefundState: state, RefundID: "50-" + string(no),
		}})
	}
}

func (s *stage) attempted(no pay.OutRefundNo, number int, outcome pay.AttemptOutcome, at time.Time) {
	s.t.Helper()
	_, err := s.sql.ExecContext(s.t.Context(), `INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at, finished_at, outcome, status, code, request_id)
		SELECT mchid, out_refund_no, $2, $3::timestamptz, $3::timestamptz + interval '1 s', $4, 403, 'NO_AUTH', '08F78BB0' FROM refunds WHERE out_refund_no = $1`, string(no), number, at, string(outcome))
	require.NoError(s.t, err)
}

func (s *stage) waits(no pay.OutRefundNo) {
	s.t.Helper()
	_, err := s.sql.ExecContext(s.t.Context(), `UPDATE refunds SET next_check_at = now() + interval '1 h', check_api = 'refund_query' WHERE out_refund_no = $1`, string(no))
	require.NoError(s.t, err)
}

func TestRefunds_are_paged_unresolved_first_and_none_is_missed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	s.refunded(o, tx, "R1", pay.RefundSucceeded)
	s.refunded(o, tx, "R|2*@")
	s.refunded(o, tx, "R3", pay.RefundAbnormal)
	for _, limit := range []string{"1", "2", "50"} {
		var got []string
		path := "/operator/v1/refunds?limit=" + limit
		for next, pages := path, 0; next != ""; pages++ {
			require.Less(t, pages, 5)
			var page operatorapi.RefundPage
			s.get(next).into(t, &page)
			next = ""
			for _, r := range page.Refunds {
				got = append(got, r.OutRefundNo)
			}
			if page.NextCursor != nil {
				next = path + "&cursor=" + *page.NextCursor
			}
		}
		require.Equal(t, []string{"R|2*@", "R3", "R1"}, got)
	}
	var page operatorapi.RefundPage
	s.get("/operator/v1/refunds?state=abnormal&mchid="+string(shop)).into(t, &page)
	require.Len(t, page.Refunds, 1)
	require.Equal(t, []any{"R3", "order-0001", int64(30), 1}, []any{page.Refunds[0].OutRefundNo, page.Refunds[0].OutTradeNo, page.Refunds[0].AmountFen, page.Refunds[0].AbnormalRounds})
	require.JSONEq(t, `{"refunds":[]}`, s.get("/operator/v1/refunds?mchid=1900000111").body)
	for path, field := range map[string]string{"?state=lost": "state", "?sate=x": "sate", "?limit=0": "limit", "?cursor=eyJvZiI6Im9yZGVycyJ9": "cursor", "?since=noon": "since"} {
		p := s.get("/operator/v1/refunds" + path).problem(t)
		require.Equal(t, "FEN-3001", p.Code, path)
		require.Equal(t, field, p.Errors[0].Field)
	}
}

func TestRefund_is_told_with_its_calls_and_its_part_of_the_timeline(t *testing.T) {
	t.Parallel()
	s := setup(t)
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	s.refunded(o, tx, "R|1*@", pay.RefundSucceeded)
	s.refunded(o, tx, "R2")
	s.attempted("R2", 1, pay.AttemptBlocked, noon)
	for number, by := range map[string]string{"R|1*@": "out_refund_no", "50-R|1*@": "refund_id"} {
		var story operatorapi.RefundStory
		s.get("/operator/v1/refunds/"+url.PathEscape(number)).into(t, &story)
		require.Equal(t, by, string(story.FoundBy))
		require.Equal(t, []any{"R|1*@", "succeeded", "order-0001", "paid"}, []any{story.Refund.OutRefundNo, string(story.Refund.State), story.Order.OutTradeNo, string(story.Order.State)})
		require.Nil(t, story.Next)
		require.Equal(t, int64(30), story.Payment.RefundedFen)
		kinds := map[string]int{}
		for _, m := range story.Timeline {
			kinds[string(m.Kind)+" "+m.What]++
		}
		require.Equal(t, map[string]int{"history refund_requested": 1, "history refund_processing": 1, "history refund_succeeded": 1,
			"event refund.requested": 1, "event refund.succeeded": 1, "delivery notify_v3": 1}, kinds)
	}
	var waits operatorapi.RefundStory
	s.get("/operator/v1/refunds/R2").into(t, &waits)
	require.Len(t, waits.Attempts, 1)
	require.Equal(t, 1, waits.AttemptsMade)
	require.Equal(t, []any{"blocked", "NO_AUTH", "08F78BB0"}, []any{waits.Attempts[0].Outcome, *waits.Attempts[0].Code, *waits.Attempts[0].RequestID})
	require.Contains(t, waits.Next.Why, "WeChat Pay refuses it (NO_AUTH)")
	require.Equal(t, "FEN-3023", s.get("/operator/v1/refunds/R9").problem(t).Code)
	require.Equal(t, "FEN-3023", s.get("/operator/v1/refunds/order-0001").problem(t).Code, "an order is none")
	require.Equal(t, "FEN-3001", s.get("/operator/v1/refunds/R%201").problem(t).Code)
}

func TestRefund_of_a_number_that_several_merchants_use_names_them(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, mchid := range []pay.MchID{shop, other} {
		o := s.place(mchid, "order-0001")
		s.pay(o, tx, "EV-"+string(mchid))
		s.refunded(o, tx, "R1")
	}
	p := s.get("/operator/v1/refunds/R1").problem(t)
	require.Equal(t, "FEN-4030", p.Code)
	require.Len(t, p.Candidates, 2)
	var story operatorapi.RefundStory
	s.get("/operator/v1/refunds/R1?mchid="+string(other)).into(t, &story)
	require.Equal(t, string(other), story.Refund.Mchid)
}

// The explanation is what an operator acts on: each way to wait has its own.
func TestRefund_says_what_happens_next_and_why(t *testing.T) {
	t.Parallel()
	s := setup(t)
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	next := func(no string) operatorapi.RefundNext {
		t.Helper()
		var story operatorapi.RefundStory
		s.get("/operator/v1/refunds/"+no).into(t, &story)
		return *story.Next
	}
	s.refunded(o, tx, "R1")
	require.Contains(t, next("R1").Why, "for the first time")
	require.Equal(t, "refund", string(next("R1").Call))
	for outcome, says := range map[pay.AttemptOutcome]string{
		pay.AttemptNotEnough: "top it up", pay.AttemptRejected: "give-up", pay.AttemptUnknown: "is not known", pay.AttemptAccepted: "accepted it", pay.AttemptBlocked: "put that right",
	} {
		_, err := s.sql.ExecContext(t.Context(), `ALTER TABLE refund_attempts DISABLE TRIGGER USER; DELETE FROM refund_attempts; ALTER TABLE refund_attempts ENABLE TRIGGER USER`)
		require.NoError(t, err)
		s.attempted("R1", 1, outcome, noon)
		require.Contains(t, next("R1").Why, says)
	}
	s.refunded(o, tx, "R2", pay.RefundProcessing)
	require.Contains(t, next("R2").Why, "WeChat Pay has it")
	s.refunded(o, tx, "R3", pay.RefundAbnormal)
	require.Contains(t, next("R3").Why, "refund abnormal")
}

func TestRetry_takes_up_what_waits_and_refuses_what_may_not_be_hurried(t *testing.T) {
	t.Parallel()
	s, _ := setupWithWorker(t)
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	s.refunded(o, tx, "R1")
	s.attempted("R1", 1, pay.AttemptNotEnough, noon)
	s.waits("R1")
	for range 2 {
		var story operatorapi.RefundStory
		s.post("/operator/v1/refunds/R1/retry", `{"reason":"topped up"}`).into(t, &story)
		require.False(t, story.Next.At.After(time.Now()))
		require.Equal(t, "refund_query", string(story.Next.Call), "it is asked about before it is sent")
	}
	require.Equal(t, "1", s.text(`SELECT count(*) FROM audit WHERE action = 'refund.retry' AND actor = 'token:night-shift' AND subject = 'R1' AND detail ->> 'reason' = 'topped up'`))
	s.refunded(o, tx, "R2")
	s.attempted("R2", 1, pay.AttemptUnknown, time.Now().Add(-time.Minute))
	s.waits("R2")
	p := s.post("/operator/v1/refunds/R2/retry", `{"reason":"x"}`).problem(t)
	require.Equal(t, "FEN-4028", p.Code)
	require.Contains(t, p.Detail, "never shortened")
	s.refunded(o, tx, "R3", pay.RefundSucceeded)
	require.Equal(t, "FEN-4028", s.post("/operator/v1/refunds/50-R3/retry", `{"reason":"x"}`).problem(t).Code)
	require.Equal(t, "FEN-3023", s.post("/operator/v1/refunds/R9/retry", `{"reason":"x"}`).problem(t).Code)
	require.Equal(t, "FEN-3001", s.post("/operator/v1/refunds/R1/retry", `{"reason":" "}`).problem(t).Code)
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, "/operator/v1/refunds/R1/retry", `{"reason":"x"}`, s.read).problem(t).Code)
	require.Equal(t, "1", s.text(`SELECT count(*) FROM audit WHERE action LIKE 'refund.%'`))
}

func TestRequestRefund_hands_in_the_shops_own_command_and_names_the_operator(t *testing.T) {
	t.Parallel()
	s, w := setupWithWorker(t)
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	s.refunded(o, tx, "R1") // as the worker would
	var story operatorapi.RefundStory
	s.post("/operator/v1/refunds", `{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"buyer_reason":"茶凉了","reason":"ticket 7 👍"}`).into(t, &story)
	require.Equal(t, "R1", story.Refund.OutRefundNo)
	require.Len(t, w.commands, 1)
	c := w.commands[0]
	shops, err := request.ParseRefund([]byte(`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"reason":"茶凉了"}`))
	require.NoError(t, err)
	require.Equal(t, []any{shop, pay.CommandRefundCreate, pay.OutRefundNo("R1"), pay.OutTradeNo("order-0001"), shops.Digest(shop)}, []any{c.MchID, c.Kind, c.OutRefundNo, c.OutTradeNo, c.Digest})
	require.JSONEq(t, `{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"reason":"茶凉了","operator":{"actor":"token:night-shift","reason":"ticket 7 👍"}}`, string(c.Body))
	require.Zero(t, c.Deadline)
	s.post("/operator/v1/refunds", `{"out_refund_no":"R1","transaction_id":"`+string(tx)+`","amount_fen":30,"reason":"x","mchid":"`+string(shop)+`"}`).into(t, &story)
	require.Len(t, w.commands, 2)
	require.NotEqual(t, c.Digest, w.commands[1].Digest)

	w.result = pay.CommandResult{Status: http.StatusConflict, Body: []byte(`{"code":"FEN-4008","detail":"out_refund_no R1 is taken by another refund","next_step":"x","status":409}`)}
	require.Equal(t, "FEN-4008", s.post("/operator/v1/refunds", `{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":31,"reason":"x"}`).problem(t).Code)
	w.silent = true
	p := s.post("/operator/v1/refunds", `{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":31,"reason":"x"}`).problem(t)
	require.Equal(t, "FEN-4004", p.Code)
	require.Contains(t, p.NextStep, "every number pays once")
	w.err = errors.New("nats: no responders")
	require.Equal(t, "FEN-5001", s.post("/operator/v1/refunds", `{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":31,"reason":"x"}`).problem(t).Code)
}

func TestRequestRefund_that_is_not_understood_is_refused_by_field_and_handed_to_nobody(t *testing.T) {
	t.Parallel()
	s, w := setupWithWorker(t)
	s.pay(s.place(shop, "order-0001"), tx, "EV-1")
	s.place(other, "order-0001")
	for body, fields := range map[string]string{
		`{}`: "out_refund_no amount_fen out_trade_no reason",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":0.3,"reason":"x"}`:                          "amount_fen",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":"30","reason":"x"}`:                         "amount_fen",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":3e1,"reason":"x"}`:                          "amount_fen",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":0,"reason":"x"}`:                            "amount_fen",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"amount_fen":31,"reason":"x"}`:           "amount_fen",
		`{"out_refund_no":"R 1","out_trade_no":"order-0001","amount_fen":30,"reason":"x"}`:                          "out_refund_no",
		`{"out_refund_no":"auto-1","out_trade_no":"order-0001","amount_fen":30,"reason":"x"}`:                       "out_refund_no",
		`{"out_refund_no":"R1","amount_fen":30,"reason":"x"}`:                                                       "out_trade_no",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"reason":""}`:                            "reason",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"reason":7}`:                             "reason",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"reason":"x","operator":{"actor":"me"}}`: "operator",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"reason":"x","mchid":"1"}`:               "mchid",
		`{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"reason":"x","buyer_reason":"👍"}`:        "buyer_reason",
	} {
		p := s.post("/operator/v1/refunds", body).problem(t)
		require.Equal(t, "FEN-3001", p.Code, body)
		var named []string
		for _, e := range p.Errors {
			named = append(named, e.Field)
		}
		require.Equal(t, fields, strings.Join(named, " "), body)
	}
	require.Equal(t, "FEN-4012", s.post("/operator/v1/refunds", `{"out_refund_no":"R1","out_trade_no":"order-0001","amount_fen":30,"reason":"x"}`).problem(t).Code)
	for _, more := range []string{`"out_trade_no":"order-0009"`, `"transaction_id":"4299"`, `"out_trade_no":"order-0001","mchid":"1900000111"`} {
		require.Equal(t, "FEN-3011", s.post("/operator/v1/refunds", `{"out_refund_no":"R1",`+more+`,"amount_fen":30,"reason":"x"}`).problem(t).Code, more)
	}
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, "/operator/v1/refunds", `{}`, s.read).problem(t).Code)
	require.Empty(t, w.commands)
}

func TestDriveRefundOn_hands_the_card_to_the_worker_and_to_nobody_else(t *testing.T) {
	t.Parallel()
	s, w := setupWithWorker(t)
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	s.refunded(o, tx, "R1", pay.RefundAbnormal)
	const card, name = "6222020200112233445", "欧阳张三"
	answer := s.post("/operator/v1/refunds/R1/abnormal", `{"type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"`+card+`","real_name":"`+name+`","reason":"the old card is gone"}`)
	var story operatorapi.RefundStory
	answer.into(t, &story)
	require.JSONEq(t, `{"mchid":"`+string(shop)+`","out_refund_no":"R1","actor":"token:night-shift","reason":"the old card is gone","type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"`+card+`","real_name":"`+name+`"}`, w.questions["fenflow.act.abnormal"])
	said := answer.body
	for _, body := range []string{
		`{"type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"` + card + ` ","real_name":"` + name + `","reason":"x"}`,
		`{"type":"MERCHANT_BANK_CARD","bank_account":"` + card + `","real_name":"` + name + `","reason":"x"}`,
		`{"type":"USER_BANK_CARD","bank_account":"` + card + `"}`, `{"type":"` + card + `"}`, `{"reason":"x"}`, `{"bank_account":"` + card + `"`,
	} {
		refused := s.post("/operator/v1/refunds/R1/abnormal", body)
		require.GreaterOrEqual(t, refused.status, 400)
		said += refused.body
	}
	w.answer = `{"status":409,"body":{"code":"FEN-4011","detail":"refund R1 is being driven on as an earlier request asked","next_step":"x","status":409}}`
	require.Equal(t, "FEN-4011", s.post("/operator/v1/refunds/R1/abnormal", `{"type":"MERCHANT_BANK_CARD","reason":"x"}`).problem(t).Code)
	for _, secret := range []string{card, name} {
		require.NotContains(t, said+s.logs.String(), secret)
	}
	require.Empty(t, w.commands, "a card lies in no stream")
}

func TestGiveUp_is_a_command_that_names_the_operator(t *testing.T) {
	t.Parallel()
	s, w := setupWithWorker(t)
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	s.refunded(o, tx, "R1")
	var story operatorapi.RefundStory
	s.post("/operator/v1/refunds/R1/give-up", `{"reason":"the shop gave cash"}`).into(t, &story)
	require.Len(t, w.commands, 1)
	require.Equal(t, []any{pay.CommandRefundGiveUp, pay.OutRefundNo("R1"), pay.OutTradeNo("order-0001")}, []any{w.commands[0].Kind, w.commands[0].OutRefundNo, w.commands[0].OutTradeNo})
	require.JSONEq(t, `{"out_refund_no":"R1","operator":{"actor":"token:night-shift","reason":"the shop gave cash"}}`, string(w.commands[0].Body))
	require.Equal(t, "FEN-3001", s.post("/operator/v1/refunds/R1/give-up", `{}`).problem(t).Code)
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, "/operator/v1/refunds/R1/give-up", `{"reason":"x"}`, s.read).problem(t).Code)
	w.result = pay.CommandResult{Status: http.StatusConflict, Body: []byte(`{"code":"FEN-4029","detail":"WeChat Pay has it","next_step":"x","status":409}`)}
	require.Equal(t, "FEN-4029", s.post("/operator/v1/refunds/R1/give-up", `{"reason":"x"}`).problem(t).Code)
}

func TestOrders_are_checked_and_closed_by_name(t *testing.T) {
	t.Parallel()
	s, w := setupWithWorker(t)
	s.place(shop, "order|0001*-_")
	path := "/operator/v1/orders/" + url.PathEscape("order|0001*-_")
	var check operatorapi.OrderCheck
	s.post(path+"/check", "").into(t, &check)
	require.True(t, check.Certain)
	require.Equal(t, "created", string(check.Order.State))
	require.JSONEq(t, `{"mchid":"`+string(shop)+`","out_trade_no":"order|0001*-_"}`, w.questions["fenflow.act.check"])
	require.Equal(t, "1", s.text(`SELECT count(*) FROM audit WHERE action = 'order.check' AND actor = 'token:night-shift' AND subject = 'order|0001*-_'`))
	w.answer = `{"status":202,"body":{}}`
	s.post(path+"/check?mchid="+string(shop), "{}").into(t, &check)
	require.False(t, check.Certain)

	var closed operatorapi.Order
	s.post(path+"/close", `{"reason":"sold out"}`).into(t, &closed)
	require.Equal(t, pay.CommandOrderClose, w.commands[0].Kind)
	require.Equal(t, request.CloseDigest(shop, "order|0001*-_"), w.commands[0].Digest)
	var body map[string]map[string]string
	require.NoError(t, json.Unmarshal(w.commands[0].Body, &body))
	require.Equal(t, map[string]map[string]string{"operator": {"actor": "token:night-shift", "reason": "sold out"}}, body)

	s.place(other, "order|0001*-_")
	require.Equal(t, "FEN-4012", s.post(path+"/check", "").problem(t).Code)
	require.Equal(t, "FEN-3011", s.post("/operator/v1/orders/order-0009/check", "").problem(t).Code)
	require.Equal(t, "FEN-3001", s.post("/operator/v1/orders/x/check", "").problem(t).Code)
	require.Equal(t, "FEN-3001", s.post(path+"/check?mchid="+string(shop), `{"force":true}`).problem(t).Code)
	require.Equal(t, "FEN-3001", s.post(path+"/close?mchid="+string(shop), `{}`).problem(t).Code)
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, path+"/check", "", s.read).problem(t).Code)
	require.Equal(t, "FEN-3008", s.do(http.MethodPost, path+"/close", `{"reason":"x"}`, s.read).problem(t).Code)
	require.Len(t, w.commands, 1)
}

func TestActs_that_take_a_worker_are_refused_where_there_is_none(t *testing.T) {
	t.Parallel()
	s := setup(t)
	o := s.place(shop, "order-0001")
	s.pay(o, tx, "EV-1")
	s.refunded(o, tx, "R1", pay.RefundAbnormal)
	for path, body := range map[string]string{
		"/operator/v1/orders/order-0001/check": "", "/operator/v1/orders/order-0001/close": `{"reason":"x"}`, "/operator/v1/refunds/R1/give-up": `{"reason":"x"}`,
		"/operator/v1/refunds/R1/abnormal": `{"type":"MERCHANT_BANK_CARD","reason":"x"}`,
		"/operator/v1/refunds":             `{"out_refund_no":"R2","out_trade_no":"order-0001","amount_fen":1,"reason":"x"}`,
	} {
		require.Equal(t, "FEN-5003", s.post(path, body).problem(t).Code, path)
	}
	require.Equal(t, "0", s.text(`SELECT count(*) FROM audit WHERE action NOT LIKE 'token.%'`))
}

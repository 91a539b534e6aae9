package command_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/request"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func operator() *pay.Act { return &pay.Act{Actor: "token:night-shift", Reason: "the shop gave cash"} }

// giveUp is a refund.give_up as the console sends it.
func (b *bundle) giveUp(no string) pay.Command {
	b.t.Helper()
	body, err := request.GiveUpBody(pay.OutRefundNo(no), *operator())
	require.NoError(b.t, err)
	mchid := pay.MchID(b.merchant.Mchid)
	return pay.Command{
		ID: pay.CommandID(uuid.Must(uuid.NewV7()).String()), MchID: mchid, Kind: pay.CommandRefundGiveUp, OutRefundNo: pay.OutRefundNo(no),
		Digest: request.GiveUpDigest(mchid, pay.OutRefundNo(no)), Body: body, ReceivedAt: b.clock.Now(),
	}
}

// attempted leaves a call behind as the reconciler does, begun so long ago.
func (b *bundle) attempted(no string, number int, outcome pay.AttemptOutcome, ago time.Duration) {
	b.t.Helper()
	_, err := b.db.ExecContext(b.t.Context(), `INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at, finished_at, outcome, status, code)
		SELECT mchid, out_refund_no, $2, now() - make_interval(secs => $3), CASE WHEN $4 <> 'unknown' THEN now() - make_interval(secs => $3 - 1) END, $4, 403, 'NO_AUTH'
		FROM refunds WHERE out_refund_no = $1`, no, number, ago.Seconds(), string(outcome))
	require.NoError(b.t, err)
}

// stuck is a refund of an order that is paid, whose one call ended so.
func stuck(t *testing.T, outcome pay.AttemptOutcome) *bundle {
	t.Helper()
	b := setup(t)
	b.paid("T00000001")
	result, _ := b.execute(b.refund("R1", fields{"out_trade_no": "T00000001", "amount_fen": 30}))
	require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
	b.attempted("R1", 1, outcome, time.Minute)
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefusalUnsigned})
	require.NoError(t, err)
	return b
}

func (b *bundle) stillSetAside() {
	b.t.Helper()
	require.Equal(b.t, 1, b.count(`SELECT count(*) FROM refunds WHERE state = 'requested' AND next_check_at IS NOT NULL`))
	require.Equal(b.t, 1, b.count(`SELECT count(*) FROM payments WHERE reserved_fen = 30`))
	require.Zero(b.t, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.give_up'`))
	require.Zero(b.t, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.failed'`))
}

func TestGiveUp_ends_what_WeChat_Pay_says_it_lacks_without_signing_it(t *testing.T) {
	t.Parallel()
	for _, outcome := range []pay.AttemptOutcome{pay.AttemptRejected, pay.AttemptBlocked} {
		b := stuck(t, outcome)
		cmd := b.giveUp("R1")
		for range 2 {
			result, r := b.execute(cmd)
			require.Equal(t, http.StatusOK, result.Status, string(result.Body))
			require.Equal(t, "failed", r.State)
		}
		require.Equal(t, 1, b.wire.count("refund_query"))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE reserved_fen = 0 AND refunded_fen = 0`))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.failed'`))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE state = 'failed' AND failure_code = 'NO_AUTH'`))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.give_up' AND audit_id = $1 AND actor = 'token:night-shift' AND subject = 'R1' AND detail ->> 'reason' = 'the shop gave cash'`, string(cmd.ID)))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE what = 'refund_failed' AND source = 'operator'`))

		again, r := b.execute(b.giveUp("R1"))
		require.Equal(t, http.StatusOK, again.Status)
		require.Equal(t, "failed", r.State)
		require.Equal(t, 1, b.wire.count("refund_query"), "nobody is asked about what is at its end")
		require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.give_up'`))
	}
}

func TestGiveUp_twenty_twins_at_once_end_it_once(t *testing.T) {
	t.Parallel()
	b := stuck(t, pay.AttemptBlocked)
	statuses := b.together(20, []*command.Service{b.service}, func(int) pay.Command { return b.giveUp("R1") })
	require.Equal(t, 20, statuses[http.StatusOK]+statuses[http.StatusServiceUnavailable], statuses) // some find no token for a question
	require.NotZero(t, statuses[http.StatusOK])
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.failed'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.give_up'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE reserved_fen = 0`))
}

func TestGiveUp_asks_nobody_about_what_may_be_under_way(t *testing.T) {
	t.Parallel()
	for outcome, says := range map[pay.AttemptOutcome]string{
		pay.AttemptUnknown: "may still be under way", pay.AttemptNotEnough: "too little money", pay.AttemptAccepted: "accepted attempt 1",
	} {
		b := stuck(t, outcome)
		result, r := b.execute(b.giveUp("R1"))
		require.Equal(t, http.StatusConflict, result.Status, string(result.Body))
		require.Equal(t, "FEN-4029", r.Code)
		require.Contains(t, r.Detail, says)
		require.Zero(t, b.wire.count("refund_query"))
		b.stillSetAside()
	}
	b := stuck(t, pay.AttemptBlocked)
	b.attempted("R1", 2, pay.AttemptUnknown, 9*time.Minute) // of the ten
	b.attempted("R1", 3, pay.AttemptBlocked, 8*time.Minute)
	_, r := b.execute(b.giveUp("R1"))
	require.Contains(t, r.Detail, "attempt 2 may still be under way")
	b.stillSetAside()
}

// The worker's own clock has no say: an hour ahead, it shortens no quarantine.
func TestGiveUp_goes_by_the_databases_clock(t *testing.T) {
	t.Parallel()
	b := stuck(t, pay.AttemptUnknown)
	b.attempted("R1", 2, pay.AttemptBlocked, 30*time.Second)
	b.restart(func(o *command.Options) { o.Now = func() time.Time { return time.Now().Add(time.Hour) } })
	_, r := b.execute(b.giveUp("R1"))
	require.Equal(t, "FEN-4029", r.Code)
	b.stillSetAside()
}

// arrives is R1's call, which comes to WeChat Pay only now.
func (b *bundle) arrives() wechatpay.RefundAnswer {
	b.t.Helper()
	order := b.order("T00000001")
	body, err := b.directory.client.RefundBody(wechatpay.RefundRequest{
		Protocol: order.Protocol, AppID: order.AppID, MchID: order.MchID, TransactionID: order.TransactionID, OutTradeNo: order.OutTradeNo,
		OutRefundNo: "R1", Amount: 30, Total: 100, Currency: pay.CNY, NotifyURL: "http://127.0.0.1:1/notify/v3/" + string(order.MchID),
	})
	require.NoError(b.t, err)
	answer, err := b.directory.client.SubmitRefund(b.t.Context(), order.Protocol, body)
	require.NoError(b.t, err)
	return answer
}

// WeChat Pay owns up to a refund that was given up: the money is booked.
func TestGiveUp_of_a_refund_that_comes_to_pass_loses_no_money(t *testing.T) {
	t.Parallel()
	b := stuck(t, pay.AttemptBlocked)
	result, _ := b.execute(b.giveUp("R1"))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	answer := b.arrives()
	obs := answer.Observation(result.MchID, pay.SourceNotification)
	_, err := b.store.Settle(t.Context(), []pay.Entry{{Observation: &obs}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(t, err)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE state IN ('processing', 'succeeded') AND refund_id = $1`, answer.RefundID))
	require.Equal(t, 30, b.count(`SELECT reserved_fen + refunded_fen FROM payments`))
	again, r := b.execute(b.giveUp("R1"))
	require.Equal(t, http.StatusConflict, again.Status)
	require.Equal(t, "FEN-4029", r.Code)
	require.Equal(t, 30, b.count(`SELECT reserved_fen + refunded_fen FROM payments`))
}

func TestGiveUp_books_what_WeChat_Pay_has_after_all(t *testing.T) {
	t.Parallel()
	b := stuck(t, pay.AttemptBlocked)
	b.arrives()
	result, r := b.execute(b.giveUp("R1"))
	require.Equal(t, http.StatusConflict, result.Status, string(result.Body))
	require.Equal(t, "FEN-4029", r.Code)
	require.Contains(t, r.Detail, "WeChat Pay has it")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE state IN ('processing', 'succeeded') AND refund_id <> ''`), "and the books know")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE refund_to = 'processing' AND source = 'query' AND delivery_id IS NOT NULL AND key_id <> ''`))
	require.Zero(t, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.give_up'`))
}

func TestGiveUp_takes_nothing_else_for_WeChat_Pays_word(t *testing.T) {
	t.Parallel()
	forged := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { // signed, and wrongly
		w.Header().Set("Wechatpay-Timestamp", "1700000000")
		w.Header().Set("Wechatpay-Nonce", "n")
		w.Header().Set("Wechatpay-Serial", "PUB_KEY_ID_0")
		w.Header().Set("Wechatpay-Signature", "AAAA")
		answers(404, "RESOURCE_NOT_EXISTS")(w, nil, nil)
	}
	for name, happens := range map[string]fault{
		"an error": answers(500, "SYSTEM_ERROR"), "no answer": loses, "a gateway": breaks, "another 404": answers(404, "NOT_FOUND"), "no such order": answers(400, "RESOURCE_NOT_EXISTS"),
		"a wrong signature": forged, "called too often": answers(429, "FREQUENCY_LIMITED"), "a refusal": answers(403, "NO_AUTH"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := stuck(t, pay.AttemptRejected)
			b.wire.failsOn("refund_query", happens)
			result, r := b.execute(b.giveUp("R1"))
			require.Equal(t, http.StatusServiceUnavailable, result.Status, string(result.Body))
			require.Equal(t, pay.CommandUnavailable, result.Outcome)
			require.Equal(t, "FEN-4004", r.Code)
			b.stillSetAside()
		})
	}
}

// dying is a worker whose process ends after its commit.
type dying struct {
	command.Books
	left atomic.Int32
}

var errDied = errors.New("connection refused")

func (d *dying) FinishCommand(ctx context.Context, r pay.CommandResult) error {
	if d.left.Add(-1) >= 0 {
		return errDied
	}
	return d.Books.FinishCommand(ctx, r)
}

func TestGiveUp_carried_out_again_after_a_crash_ends_the_same(t *testing.T) {
	t.Parallel()
	b := stuck(t, pay.AttemptRejected)
	books := &dying{Books: b.store}
	books.left.Store(1)
	b.restart(func(o *command.Options) { o.Books, o.Retryable = books, func(error) bool { return true } })
	cmd := b.giveUp("R1")
	_, err := b.service.Execute(t.Context(), cmd)
	require.ErrorIs(t, err, errDied)
	result, r := b.execute(cmd)
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Equal(t, "failed", r.State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.give_up'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.failed'`))
}

func TestGiveUp_refuses_what_is_none(t *testing.T) {
	t.Parallel()
	b := stuck(t, pay.AttemptRejected)
	unknown, r := b.execute(b.giveUp("R2"))
	require.Equal(t, http.StatusNotFound, unknown.Status)
	require.Equal(t, "FEN-3004", r.Code)
	for name, body := range map[string]string{
		"nobody": `{"out_refund_no":"R1"}`, "no reason": `{"out_refund_no":"R1","operator":{"actor":"token:x","reason":""}}`,
		"no actor": `{"out_refund_no":"R1","operator":{"actor":"","reason":"x"}}`, "another": `{"out_refund_no":"R2","operator":{"actor":"token:x","reason":"x"}}`,
		"more": `{"out_refund_no":"R1","operator":{"actor":"token:x","reason":"x"},"force":true}`, "no document": `x`,
	} {
		cmd := b.giveUp("R1")
		cmd.Body = []byte(body)
		result, _ := b.execute(cmd)
		require.Equal(t, pay.CommandRefused, result.Outcome, name)
	}
	stranger := b.giveUp("R1")
	stranger.MchID = "1900000777"
	result, _ := b.execute(stranger)
	require.Equal(t, pay.CommandRefused, result.Outcome)
	require.Zero(t, b.wire.count("refund_query"))
	b.stillSetAside()
}

func TestRefund_of_an_operator_is_the_shops_in_all_but_who_asked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid("T00000001")
	asked := func(raw string, by *pay.Act) pay.Command {
		t.Helper()
		refund, err := request.ParseRefund([]byte(raw))
		require.NoError(t, err)
		body, err := refund.Body(by)
		require.NoError(t, err)
		cmd := b.refund(string(refund.OutRefundNo), fields{"out_trade_no": "T00000001"})
		cmd.Digest, cmd.Body = refund.Digest(cmd.MchID), body
		return cmd
	}
	const body = `{"out_refund_no":"R1","out_trade_no":"T00000001","amount_fen":60,"reason":"茶凉了"}`
	cmd := asked(body, operator())
	result, _ := b.execute(cmd)
	require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE origin = 'operator' AND reason = '茶凉了' AND state = 'requested'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE what = 'refund_requested' AND source = 'operator'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.create' AND audit_id = $1 AND actor = 'token:night-shift' AND detail ->> 'reason' = 'the shop gave cash'`, string(cmd.ID)))
	for _, by := range []*pay.Act{nil, operator()} { // from whichever side it comes again
		again, _ := b.execute(asked(body, by))
		require.Equal(t, http.StatusOK, again.Status, string(again.Body))
		other, r := b.execute(asked(`{"out_refund_no":"R1","out_trade_no":"T00000001","amount_fen":61,"reason":"茶凉了"}`, by))
		require.Equal(t, http.StatusConflict, other.Status)
		require.Equal(t, "FEN-4008", r.Code)
	}
	tooMuch, r := b.execute(asked(`{"out_refund_no":"R2","out_trade_no":"T00000001","amount_fen":41}`, operator()))
	require.Equal(t, http.StatusUnprocessableEntity, tooMuch.Status)
	require.Equal(t, "FEN-4009", r.Code)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action LIKE 'refund.%'`), "what changed nothing is no act")
	require.Equal(t, 60, b.count(`SELECT reserved_fen FROM payments`))
}

func TestClose_by_an_operator_is_in_the_audit_before_anything_is_called(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	cmd := b.shut("T00000001")
	var err error
	cmd.Body, err = request.CloseBody(&pay.Act{Actor: "token:night-shift", Reason: "sold out"})
	require.NoError(t, err)
	b.wire.failsOn("query", answers(500, "SYSTEM_ERROR"))
	result, _ := b.execute(cmd)
	require.Equal(t, http.StatusServiceUnavailable, result.Status)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'order.close' AND subject = 'T00000001' AND actor = 'token:night-shift' AND detail ->> 'reason' = 'sold out'`))
	cmd.ID = pay.CommandID(uuid.Must(uuid.NewV7()).String())
	result, _ = b.execute(cmd)
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	cmd.ID = pay.CommandID(uuid.Must(uuid.NewV7()).String())
	b.execute(cmd)
	require.Equal(t, 2, b.count(`SELECT count(*) FROM audit WHERE action = 'order.close'`), "closing what is closed is no act")
	cmd.ID, cmd.Body = pay.CommandID(uuid.Must(uuid.NewV7()).String()), []byte(`{"operator":{"actor":"","reason":"x"}}`)
	result, _ = b.execute(cmd)
	require.Equal(t, pay.CommandRefused, result.Outcome)
}

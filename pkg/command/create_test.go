package command_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestCreate_places_an_order_and_answers_what_the_client_needs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	result, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusCreated, result.Status, string(result.Body))
	require.Equal(t, pay.CommandDone, result.Outcome)
	require.Equal(t, "awaiting_payment", r.State)
	require.Equal(t, 2, r.Sequence)
	require.Equal(t, 100, r.AmountFen)
	require.Equal(t, "digest-of-T00000001", r.Digest)
	for _, name := range []string{"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"} {
		require.NotEmpty(t, r.Pay[name], name)
	}
	require.Equal(t, 1, b.count(`SELECT count(*) FROM deliveries WHERE kind = 'answer'`), "the answer that moved the order is archived")

	native, r := b.execute(b.create("T00000002", func(f fields) { f["client"] = "native"; delete(f, "openid") }))
	require.Equal(t, http.StatusCreated, native.Status, string(native.Body))
	require.Len(t, r.Pay, 2, "its client is named beside it")
	require.NotEmpty(t, r.Pay["code_url"])
}

func TestCreate_a_finished_command_is_answered_from_its_row(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := b.create("T00000001")
	first, _ := b.execute(cmd)
	b.clock.Advance(time.Hour) // far past its deadline
	second, _ := b.execute(cmd)
	require.JSONEq(t, string(first.Body), string(second.Body))
	require.Equal(t, first.Status, second.Status)
	require.Len(t, b.wire.prepays(), 1)
}

func TestCreate_the_same_order_again_is_the_same_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	again, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusOK, again.Status)
	require.NotEmpty(t, r.Pay["paySign"])
	require.Len(t, b.wire.prepays(), 1, "the credential is still good")

	b.clock.Advance(118 * time.Minute) // the credential runs out; the order does not (time_expire was made then)
	_, r = b.execute(b.create("T00000001"))
	require.Equal(t, "awaiting_payment", r.State)
}

func TestCreate_a_credential_that_runs_out_is_renewed_with_the_same_bytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	longer := func(f fields) {
		f["time_expire"] = b.clock.Now().Add(6 * time.Hour).Truncate(time.Second).Format(time.RFC3339)
	}
	b.execute(b.create("T00000001", longer))
	before := b.order("T00000001").Credential
	b.clock.Advance(119 * time.Minute)
	result, r := b.execute(b.create("T00000001", longer))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.NotEmpty(t, r.Pay["paySign"])
	require.NotEqual(t, before, b.order("T00000001").Credential)
	bodies := b.wire.prepays()
	require.Len(t, bodies, 2)
	require.Equal(t, bodies[0], bodies[1])
}

func TestCreate_another_order_under_the_number_is_a_conflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	other := b.create("T00000001", func(f fields) { f["amount_fen"] = 200 })
	other.Digest = "another digest"
	result, r := b.execute(other)
	require.Equal(t, http.StatusConflict, result.Status)
	require.Equal(t, pay.CommandConflict, result.Outcome)
	require.Equal(t, "FEN-4001", r.Code)
	require.Len(t, b.wire.prepays(), 1)
	require.EqualValues(t, 100, b.order("T00000001").Amount)
}

func TestCreate_twins_at_once_are_one_order_with_one_body(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Two workers: each has its own turn-taking, only the database is shared.
	services := []*command.Service{b.service, func() *command.Service { o := b.options; o.Registry = nil; return command.New(o) }()}
	var all sync.WaitGroup
	statuses := make([]int, 12)
	for i := range statuses {
		cmd := b.create("T00000001", func(f fields) {
			f["time_expire"] = b.clock.Now().Add(2*time.Hour + time.Duration(i)*time.Second).Truncate(time.Second).Format(time.RFC3339)
		})
		all.Go(func() {
			result, err := services[i%2].Execute(context.WithoutCancel(t.Context()), cmd)
			if err == nil {
				statuses[i] = result.Status
			}
		})
	}
	all.Wait()
	for _, status := range statuses {
		require.Contains(t, []int{http.StatusCreated, http.StatusOK}, status)
	}
	require.Equal(t, 1, b.count(`SELECT count(*) FROM orders`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.created'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.prepared'`))
	bodies := b.wire.prepays()
	for _, body := range bodies {
		require.Equal(t, b.order("T00000001").PrepayRequest, body, "every call sends the stored bytes")
	}
	require.LessOrEqual(t, len(bodies), 2, "one call for each worker at most")
}

func TestCreate_past_its_deadline_does_not_call_WeChat_Pay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	late := b.create("T00000001")
	b.clock.Advance(61 * time.Second)
	result, r := b.execute(late)
	require.Equal(t, pay.CommandExpired, result.Outcome)
	require.Equal(t, "FEN-4003", r.Code)
	require.Empty(t, b.wire.prepays())
	require.Zero(t, b.count(`SELECT count(*) FROM orders`))

	// An order that is there already is answered all the same.
	b.execute(b.create("T00000002"))
	late = b.create("T00000002")
	b.clock.Advance(61 * time.Second)
	result, r = b.execute(late)
	require.Equal(t, http.StatusOK, result.Status)
	require.Equal(t, "awaiting_payment", r.State)
	require.Len(t, b.wire.prepays(), 1)
}

func TestCreate_a_payment_that_came_before_its_order_is_taken_first(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.options.Letters = &letters{settle: func(no pay.OutTradeNo) {
		_, err := b.store.Settle(context.WithoutCancel(t.Context()), []pay.Entry{{Observation: &pay.Observation{
			Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: b.clock.Now(), MchID: pay.MchID(b.merchant.Mchid),
			AppID: pay.AppID(b.merchant.Appid), OutTradeNo: no, TransactionID: "4200000001", Amount: 100, PayerTotal: 100, Currency: pay.CNY, PaidAt: b.clock.Now(),
		}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
		require.NoError(t, err)
	}}
	b.options.Registry = nil
	b.service = command.New(b.options)
	result, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Equal(t, "paid", r.State)
	require.Equal(t, "4200000001", r.TransactionID)
	require.Empty(t, r.Pay)
	require.Empty(t, b.wire.prepays())
}

func TestCreate_a_paid_order_is_answered_as_it_stands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// The platform was paid, and no notification reached us.
	b.execute(b.create("T00000001"))
	_, err := b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.clock.Advance(119 * time.Minute) // the credential ran out: prepay is tried and refused as paid
	_, err = b.db.ExecContext(t.Context(), `UPDATE orders SET expires_at = expires_at + interval '1 day'`)
	require.NoError(t, err)
	result, r := b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Equal(t, "paid", r.State)
	require.NotEmpty(t, r.TransactionID)
	require.NotNil(t, r.PaidAt)
}

func TestCreate_refuses_what_does_not_fit_the_merchant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, change := range map[string]func(fields){
		"another appid":        func(f fields) { f["appid"] = "wx0000000000000000" },
		"no amount":            func(f fields) { f["amount_fen"] = 0 },
		"a float":              func(f fields) { f["amount_fen"] = 1.5 },
		"another currency":     func(f fields) { f["currency"] = "USD" },
		"another number":       func(f fields) { f["out_trade_no"] = "T00000009" },
		"no openid":            func(f fields) { delete(f, "openid") },
		"an unknown field":     func(f fields) { f["amount"] = 1 },
		"a NUL":                func(f fields) { f["description"] = "a\x00" },
		"no expiry":            func(f fields) { delete(f, "time_expire") },
		"an unheard-of client": func(f fields) { f["client"] = "carrier_pigeon" },
	} {
		result, r := b.execute(b.create("T00000001", change))
		require.Equal(t, pay.CommandRefused, result.Outcome, name)
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, result.Status, name)
		require.NotEmpty(t, r.Code, name)
	}
	stranger := b.create("T00000001")
	stranger.MchID = "1900000777"
	result, _ := b.execute(stranger)
	require.Equal(t, pay.CommandRefused, result.Outcome)
	unknown := b.create("T00000001")
	unknown.Kind = "order.dance"
	result, _ = b.execute(unknown)
	require.Equal(t, pay.CommandRefused, result.Outcome)
	require.Empty(t, b.wire.prepays())
	require.Zero(t, b.count(`SELECT count(*) FROM orders`))
}

func TestCreate_a_panic_is_an_outcome_that_may_be_repeated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.platform = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.platform.Handler().ServeHTTP(w, r) })
	o := b.options
	o.Registry, o.NotifyURL = nil, func(pay.MchID, pay.Protocol) string { panic("secret bytes") }
	broken := command.New(o)
	cmd := b.create("T00000001")
	result, err := broken.Execute(t.Context(), cmd)
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, result.Status)
	require.NotContains(t, string(result.Body), "secret")
	result, _ = b.execute(b.create("T00000001"))
	require.Equal(t, http.StatusCreated, result.Status)
}

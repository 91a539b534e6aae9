package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestCheck_finds_a_payment_that_nobody_told_of(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.payAt("T00000001")
	status, r := b.check("T00000001")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "paid", r.State)
	require.NotEmpty(t, r.TransactionID)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE what = 'paid' AND source = 'query' AND key_id <> '' AND delivery_id IS NOT NULL`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE notified_at IS NULL`))

	status, r = b.check("T00000001")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "paid", r.State)
	require.Equal(t, 1, b.wire.count("query"), "a paid order needs no question")
	require.Equal(t, []pay.OutTradeNo{"T00000001", "T00000001"}, b.options.Letters.(*letters).asked, "after the order appeared, and after its payment did")
}

func TestCheck_an_open_order_is_asked_about_once_a_second(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	for range 3 {
		status, r := b.check("T00000001")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "awaiting_payment", r.State)
		require.NotEmpty(t, r.Pay["paySign"])
	}
	require.Equal(t, 1, b.wire.count("query"))
	b.clock.Advance(time.Minute)
	b.payAt("T00000001")
	status, r := b.check("T00000001")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "paid", r.State)
	require.Equal(t, 2, b.wire.count("query"))
}

func TestCheck_pages_that_ask_together_share_one_question(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.payAt("T00000001")
	question := []byte(`{"mchid":"` + b.merchant.Mchid + `","out_trade_no":"T00000001"}`)
	var all sync.WaitGroup
	answers := make([]string, 10)
	for i := range answers {
		all.Go(func() {
			raw, _ := b.service.ActCheck(context.WithoutCancel(t.Context()), question)
			answers[i] = string(raw)
		})
	}
	all.Wait()
	for _, answer := range answers {
		require.Contains(t, answer, `"state":"paid"`)
	}
	require.Equal(t, 1, b.wire.count("query"))
}

func TestCheck_without_a_clear_answer_the_reconciler_asks_at_once(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		before  func(*bundle)
		queries int
	}{
		"no answer":                  {func(b *bundle) { b.wire.failsOn("query", loses) }, 1},
		"an answer not to trust":     {func(b *bundle) { b.wire.failsOn("query", tampers) }, 1},
		"a fault of WeChat Pay":      {func(b *bundle) { b.wire.failsOn("query", answers(500, "SYSTEM_ERROR")) }, 1},
		"a 404 from who knows where": {func(b *bundle) { b.wire.failsOn("query", answers(404, "ORDER_NOT_EXIST")) }, 1},
		"no budget":                  {func(b *bundle) { b.drain(pay.APIOrderQuery) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.execute(b.create("T00000001"))
			b.payAt("T00000001")
			require.Zero(t, b.count(`SELECT count(*) FROM orders WHERE next_check_at <= now()`))
			row.before(b)
			status, r := b.check("T00000001")
			require.Equal(t, http.StatusAccepted, status)
			require.Equal(t, "awaiting_payment", r.State)
			require.Equal(t, row.queries, b.wire.count("query"))
			require.Equal(t, 1, b.count(`SELECT count(*) FROM orders WHERE next_check_at <= now()`))
			require.Equal(t, []pay.OutTradeNo{"T00000001"}, b.waker.orders)
		})
	}
}

func TestCheck_an_order_that_WeChat_Pay_does_not_have_yet_is_answered_as_it_stands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(loses, loses, loses)
	b.execute(b.create("T00000001"))
	status, r := b.check("T00000001")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "created", r.State)
}

func TestCheck_asks_about_failed_orders_and_not_about_closed_ones(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(breaks) // carried out; the shop is told that nothing is known
	b.wire.fails(answers(500, "SYSTEM_ERROR"), answers(500, "SYSTEM_ERROR"))
	b.execute(b.create("T00000001"))
	_, err := b.store.Settle(t.Context(), []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedRefused, Source: pay.SourceCommand, ObservedAt: b.clock.Now(), MchID: pay.MchID(b.merchant.Mchid),
		AppID: pay.AppID(b.merchant.Appid), OutTradeNo: "T00000001", Code: "PARAM_ERROR",
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(t, err)
	b.payAt("T00000001")
	status, r := b.check("T00000001")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "paid", r.State)
	require.True(t, r.Late)

	b.execute(b.create("T00000002"))
	b.execute(b.shut("T00000002"))
	asked := b.wire.count("query")
	status, r = b.check("T00000002")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "closed", r.State)
	require.Equal(t, asked, b.wire.count("query"))
}

func TestCheck_answers_what_it_cannot_find(t *testing.T) {
	t.Parallel()
	b := setup(t)
	status, r := b.check("T00000009")
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, "FEN-3004", r.Code)
	_, err := b.service.ActCheck(t.Context(), []byte("{"))
	require.Error(t, err)
}

// crowd holds whoever asks for a token first, up to its size, for as long as
// the test wants: no time-out of a call or of a check ends that. Those after
// them pass.
type crowd struct {
	command.Books

	held    chan struct{} // one place for each that is to be held
	release chan struct{}
	tokens  atomic.Int32 // questions that got as far
}

func (c *crowd) TakeToken(ctx context.Context, mchid pay.MchID, budget pay.Budget) (bool, error) {
	c.tokens.Add(1)
	select {
	case c.held <- struct{}{}:
		<-c.release
	default:
	}
	return c.Books.TakeToken(ctx, mchid, budget) //nolint:wrapcheck // the books' own error
}

// One merchant's time-outs must leave places to the others.
func TestCheck_a_merchant_has_no_more_questions_under_way_than_its_places(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const places = 16
	for i := range places + 1 {
		b.execute(b.create(fmt.Sprintf("T%08d", i)))
	}
	c := &crowd{Books: b.store, held: make(chan struct{}, places), release: make(chan struct{})}
	b.restart(func(o *command.Options) { o.Books = c })
	var all sync.WaitGroup
	disperse := sync.OnceFunc(func() { close(c.release); all.Wait() })
	defer disperse() // also where the test fails: nothing else would end them
	for i := range places {
		question, err := json.Marshal(fields{"mchid": b.merchant.Mchid, "out_trade_no": fmt.Sprintf("T%08d", i)})
		require.NoError(t, err)
		all.Go(func() { _, _ = b.service.ActCheck(context.WithoutCancel(t.Context()), question) })
	}
	require.Eventually(t, func() bool { return len(c.held) == places }, soon, often)
	last := fmt.Sprintf("T%08d", places)
	status, _ := b.check(last)
	require.Equal(t, http.StatusAccepted, status)
	require.EqualValues(t, places, c.tokens.Load(), "it asks nothing")

	disperse()
	asked := c.tokens.Load()
	b.check(last)
	require.Greater(t, c.tokens.Load(), asked, "the places are free again")
}

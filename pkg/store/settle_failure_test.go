package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func TestSettle_with_a_broken_row_leaves_nothing_and_blames_the_row(t *testing.T) {
	t.Parallel()
	b := setup(t)
	taken := b.place()
	b.settle(arrived(payment(taken, "taken")))

	for name, breakIt := range map[string]func(*pay.Observation){
		"NUL in a number":                     func(o *pay.Observation) { o.OutTradeNo = "T-\x00-000001" },
		"NUL in a payment's text":             func(o *pay.Observation) { o.BankType = "A\x00B" },
		"broken UTF-8 in a transaction id":    func(o *pay.Observation) { o.TransactionID = "42\xff00" },
		"a transaction of another order":      func(o *pay.Observation) { o.TransactionID = "taken" },
		"no amount":                           func(o *pay.Observation) { o.Amount = 0 },
		"a negative payer's total":            func(o *pay.Observation) { o.PayerTotal = -1 },
		"a source that nobody knows":          func(o *pay.Observation) { o.Source = "rumour" },
		"no time of payment":                  func(o *pay.Observation) { o.PaidAt = time.Time{} },
		"a transaction id too long for a key": func(o *pay.Observation) { o.TransactionID = pay.TransactionID(longText()) },
		"a year that PostgreSQL lacks":        func(o *pay.Observation) { o.PaidAt = time.Unix(1<<53, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good, bad := b.place(), b.place()
			broken := payment(bad, pay.TransactionID("tx-"+bad.OutTradeNo))
			breakIt(&broken)
			letter := arrived(broken)
			neighbour := arrived(payment(good, pay.TransactionID("tx-"+good.OutTradeNo)))

			_, err := b.Settle(t.Context(), []pay.Entry{neighbour, letter}, defaults)
			require.Error(t, err)
			require.False(t, store.Retryable(err), err)
			require.NotContains(t, err.Error(), string(bad.OutTradeNo), "no values in errors")
			require.Equal(t, good, b.order(good))
			require.Zero(t, b.count(`SELECT count(*) FROM deliveries WHERE delivery_id IN ($1, $2)`, string(neighbour.Delivery.ID), string(letter.Delivery.ID)))

			// What settle does next: the neighbour alone, and the broken one as a letter.
			letter.Letter = &pay.LetterCause{Reason: pay.LetterInternal, Detail: err.Error()}
			settled := b.settle(neighbour, letter)
			require.Equal(t, []pay.Outcome{pay.OutcomeApplied, pay.OutcomeLettered}, outcomes(settled))
			require.Equal(t, 1, b.count(`SELECT count(*) FROM dead_letters WHERE delivery_id = $1 AND reason = 'internal' AND body = $2`, string(letter.Delivery.ID), letter.Delivery.Body))
		})
	}
}

func TestSettle_with_a_broken_refund_leaves_nothing_and_blames_the_row(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, breakIt := range map[string]func(*pay.Observation){
		"NUL in its number":            func(o *pay.Observation) { o.OutRefundNo = "R\x00" },
		"NUL in WeChat Pay's number":   func(o *pay.Observation) { o.RefundID = "5\x000" },
		"broken UTF-8 in its currency": func(o *pay.Observation) { o.Currency = "CN\xff" },
		"a number too long for a key":  func(o *pay.Observation) { o.OutRefundNo = pay.OutRefundNo(longText()) },
		"a source that nobody knows":   func(o *pay.Observation) { o.Source = "rumour" },
		"an end in no year":            func(o *pay.Observation) { o.SucceededAt = time.Unix(1<<53, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good, bad := b.paidOrder(), b.paidOrder()
			before := b.story(good)
			broken := seen(bad, refundOf(bad, 1), 40, pay.RefundSucceeded)
			breakIt(&broken)
			letter, neighbour := arrived(broken), arrived(seen(good, refundOf(good, 1), 40, pay.RefundSucceeded))
			_, err := b.Settle(t.Context(), []pay.Entry{neighbour, letter}, defaults)
			require.Error(t, err)
			require.False(t, store.Retryable(err), err)
			require.NotContains(t, err.Error(), string(bad.OutTradeNo), "no values in errors")
			require.Equal(t, before, b.story(good))

			letter.Letter = &pay.LetterCause{Reason: pay.LetterInternal, Detail: err.Error()}
			require.Equal(t, []pay.Outcome{pay.OutcomeApplied, pay.OutcomeLettered}, outcomes(b.settle(neighbour, letter)))
			b.mustBalance()
		})
	}
	t.Run("texts for people are bent and kept", func(t *testing.T) {
		t.Parallel()
		o := b.paidOrder()
		odd := seen(o, refundOf(o, 1), 40, pay.RefundSucceeded)
		odd.ReceivedAccount, odd.Reason = "purse \x00\xff", "\x00"
		told := b.told(odd)[0]
		require.Equal(t, b.refund(refundOf(o, 1)), *told.Refund)
		require.Equal(t, "purse \uFFFD\uFFFD", b.refund(refundOf(o, 1)).ReceivedAccount)
	})
}

// longText does not compress: a key of 2,704 bytes is the B-tree's limit, counted after compression.
func longText() string {
	var b strings.Builder
	x := uint32(1)
	for range 9000 {
		x = x*1664525 + 1013904223
		b.WriteByte('!' + byte(x>>24)%90)
	}
	return b.String()
}

func TestSettle_takes_any_letter_whatever_its_delivery_holds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hostile := func(id, body string) pay.Entry {
		long := longText()
		return pay.Entry{
			Letter: &pay.LetterCause{Reason: pay.LetterMalformed, Detail: "a pack that nobody can read: \xff\x00"},
			Delivery: &pay.Delivery{
				ID: pay.DeliveryID(id), MchID: pay.MchID("\x00\xff" + long), Kind: "\x00", ReceivedAt: time.Unix(1<<50, 0),
				Headers: map[string]string{"\x00": "\xff\n\"", "": ""}, Body: []byte(body), TraceParent: "\xff",
				Position: pay.Position{Stream: "\x00", Sequence: 1 << 63, Index: 1 << 40},
				KeyID:    "\x00", NotificationID: long, EventType: "\xfe", OutTradeNo: pay.OutTradeNo("\x00" + long), TransactionID: "\x00",
			},
		}
	}
	entries := []pay.Entry{hostile("", "one"), hostile("not a uuid \x00", "two"), hostile("", "three"), {Delivery: &pay.Delivery{}}}
	settled := b.settle(entries...)
	require.Equal(t, []pay.Outcome{pay.OutcomeLettered, pay.OutcomeLettered, pay.OutcomeLettered, pay.OutcomeArchived}, outcomes(settled))
	require.Equal(t, "one three two", b.text(`SELECT string_agg(convert_from(body, 'UTF8'), ' ' ORDER BY convert_from(body, 'UTF8')) FROM dead_letters`))
	b.settle(entries...)
	require.Equal(t, 3, b.count(`SELECT count(*) FROM dead_letters WHERE attempts = 2`), "a repeat finds the same rows")
	require.Equal(t, 4, b.count(`SELECT count(*) FROM deliveries`))
}

func TestSettle_blames_the_row_when_a_rule_panics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	_, err := b.Settle(t.Context(), []pay.Entry{arrived(payment(o, "4200"))}, func(pay.MchID) pay.Policies { panic("boom") })
	require.ErrorContains(t, err, "boom")
	require.False(t, store.Retryable(err))
	require.Equal(t, o, b.order(o))
}

// Where the guard of the UPDATE lets an order through less often than sent,
// nothing at all is written.
func TestSettle_writes_nothing_when_a_guard_holds_a_row_back(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held, good := b.place(), b.place()
	require.NoError(t, b.exec(`CREATE FUNCTION hold_back() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`))
	require.NoError(t, b.exec(`CREATE TRIGGER hold_back BEFORE UPDATE ON orders FOR EACH ROW WHEN (NEW.out_trade_no = '`+string(held.OutTradeNo)+`') EXECUTE FUNCTION hold_back()`))
	_, err := b.Settle(t.Context(), []pay.Entry{arrived(payment(held, "4200")), arrived(payment(good, "4201"))}, defaults)
	require.ErrorContains(t, err, "guards")
	require.False(t, store.Retryable(err))
	require.Equal(t, good, b.order(good))
	for _, table := range []string{"payments", "deliveries", "dead_letters"} {
		require.Zero(t, b.count(`SELECT count(*) FROM `+table), table)
	}
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outbox`), "the two that tell of the creation")
}

// The same where a refund or a payment is held back: a step that did not happen
// takes its history, its event and its money with it.
func TestSettle_moves_no_refund_when_a_guard_holds_a_row_back(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"refunds", "payments"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			held, good := b.paidOrder(), b.paidOrder()
			b.told(wish(held, refundOf(held, 1), 40), wish(good, refundOf(good, 1), 40))
			before := []pay.Story{b.story(held), b.story(good)}
			require.NoError(t, b.exec(`CREATE FUNCTION hold_back() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`))
			require.NoError(t, b.exec(`CREATE TRIGGER hold_back BEFORE UPDATE ON `+table+` FOR EACH ROW WHEN (NEW.out_trade_no = '`+string(held.OutTradeNo)+`') EXECUTE FUNCTION hold_back()`))
			_, err := b.Settle(t.Context(), []pay.Entry{
				arrived(seen(held, refundOf(held, 1), 40, pay.RefundSucceeded)), arrived(seen(good, refundOf(good, 1), 40, pay.RefundSucceeded)),
			}, defaults)
			require.ErrorContains(t, err, "guards")
			require.False(t, store.Retryable(err))
			after := []pay.Story{b.story(held), b.story(good)}
			require.Equal(t, before, after)
			require.Zero(t, b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.succeeded'`))
		})
	}
}

// A commit waits for its synchronous standby. Whoever stops waiting is told
// COMMIT by the server all the same, and must not believe it.
func TestSettle_does_not_take_a_commit_without_its_standby_for_done(t *testing.T) {
	t.Parallel()
	server := testkit.OwnPostgres(t)
	require.NoError(t, server.CreateDatabase(t.Context(), "books"))
	require.NoError(t, migrate(t.Context(), server.URL("books")))
	b := openBooks(t, server.URL("books"))
	o := b.place()
	standby := func(names string) {
		require.NoError(t, b.exec(`ALTER SYSTEM SET synchronous_standby_names = '`+names+`'`))
		require.NoError(t, b.exec(`SELECT pg_reload_conf()`))
		require.Eventually(t, func() bool { return b.text(`SHOW synchronous_standby_names`) == names }, 10*time.Second, 10*time.Millisecond)
	}
	standby("absent")
	entry := arrived(payment(o, "4200"))
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := b.Settle(ctx, []pay.Entry{entry}, defaults)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, store.Retryable(err))
	}
	standby("")
	b.settle(entry)
	require.Equal(t, pay.OrderPaid, b.order(o).State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
}

func TestOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("insists on sslmode", func(t *testing.T) {
		t.Parallel()
		_, err := store.Open(t.Context(), store.Config{URL: strings.TrimSuffix(b.url, "sslmode=disable")})
		require.ErrorContains(t, err, "must state sslmode")
	})
	t.Run("never shows a password", func(t *testing.T) {
		t.Parallel()
		for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable", "postgres://u:hunter2@[::1/db?sslmode=disable", "postgres://u:hunter2@127.0.0.1:99999/db?sslmode=disable", "postgres://u:hunter2@127.0.0.1:1/db?sslmode=nonsense", "hunter2"} {
			_, err := store.Open(t.Context(), store.Config{URL: url})
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
		}
	})
	t.Run("calls an absent server a passing fault", func(t *testing.T) {
		t.Parallel()
		_, err := store.Open(t.Context(), store.Config{URL: "postgres://u@127.0.0.1:1/db?sslmode=disable"})
		require.Error(t, err)
		require.True(t, store.Retryable(err))
	})
}

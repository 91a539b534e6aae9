package settle_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func number(i int) pay.OutTradeNo                              { return pay.OutTradeNo(fmt.Sprintf("T%08d", i)) }
func transaction(i int) string                                 { return fmt.Sprintf("4200%024d", i) }
func redelivered(a wechatpay.Arrival, n int) wechatpay.Arrival { a.Deliveries = n; return a }

func TestSettle_the_same_packs_three_times_in_any_order_pay_each_order_once(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	var all []wechatpay.Arrival
	for i := range 60 {
		b.order(number(i), 100)
		all = append(all, b.platform.pays(t, number(i), transaction(i), 100))
	}
	for range 3 {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for pack := range slices.Chunk(all, 17) {
			require.NoError(t, s.Settle(t.Context(), pack))
		}
	}
	// And all at once, each twice in one batch.
	require.NoError(t, s.Settle(t.Context(), append(slices.Clone(all), all...)))

	for i := range 60 {
		require.Equal(t, pay.OrderPaid, b.state(number(i)))
	}
	require.Equal(t, 60, b.relay.facts(pay.FactOrderPaid))
	require.Equal(t, 60, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, 60, b.count(`SELECT count(*) FROM payments`))
	require.Equal(t, 60, b.count(`SELECT count(*) FROM deliveries`))
	require.Zero(t, b.count(`SELECT count(*) FROM dead_letters`))
	require.Zero(t, b.count(`SELECT count(*) FROM anomalies`))
}

func TestSettle_a_payment_before_its_order_waits_and_settles_with_the_same_bytes(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	early := b.platform.pays(t, number(1), transaction(1), 100)
	require.NoError(t, s.Settle(t.Context(), []wechatpay.Arrival{early}))
	reason, state, _ := b.letter(early.Envelope.DeliveryID)
	require.Equal(t, "unknown_order", reason)
	require.Equal(t, "waiting", state)

	b.order(number(1), 100)
	require.NoError(t, s.Settle(t.Context(), []wechatpay.Arrival{early}))
	require.Equal(t, pay.OrderPaid, b.state(number(1)))
	_, state, _ = b.letter(early.Envelope.DeliveryID)
	require.Equal(t, "resolved", state)
	require.Equal(t, 1, b.relay.facts(pay.FactOrderPaid))
}

// poison is every kind of bad envelope, with what must become of it.
func poison(t *testing.T, b *bundle) map[string]struct {
	arrival wechatpay.Arrival
	reason  string
} {
	t.Helper()
	type bad = struct {
		arrival wechatpay.Arrival
		reason  string
	}
	p := b.platform
	says := func(change func(resource)) wechatpay.Arrival {
		r := paid(number(500), transaction(500), 100)
		change(r)
		return p.says(t, "TRANSACTION.SUCCESS", r)
	}
	all := map[string]bad{}
	tampered := p.pays(t, number(500), transaction(500), 100)
	tampered.Envelope.Body = append(slices.Clone(tampered.Envelope.Body), ' ')
	all["bad signature"] = bad{tampered, "bad_signature"}
	other := p
	other.apiKey = wrongV3
	all["wrong APIv3 key"] = bad{other.pays(t, number(500), transaction(500), 100), "decrypt_failed"}
	all["nonce of 16 bytes"] = bad{p.signed(t, p.body(t, "TRANSACTION.SUCCESS", "0123456789abcdef", []byte(`{}`))), "decrypt_failed"}
	all["garbage"] = bad{p.signed(t, []byte("\x00\xff not json")), "malformed"}
	all["garbage inside"] = bad{p.signed(t, p.body(t, "TRANSACTION.SUCCESS", "0123456789ab", []byte("\x00\xff"))), "malformed"}
	all["another merchant inside"] = bad{says(func(r resource) { r["mchid"] = "1900000999" }), "mismatch"}
	all["unknown order"] = bad{p.pays(t, "T-unknown-1", transaction(501), 100), "unknown_order"}
	all["wrong appid"] = bad{says(func(r resource) { r["appid"] = "wx0000000000000000" }), "mismatch"}
	all["wrong currency"] = bad{says(func(r resource) { r["amount"] = resource{"total": 100, "payer_total": 100, "currency": "USD"} }), "mismatch"}
	all["NUL in a text"] = bad{says(func(r resource) { r["payer"] = resource{"openid": "o\x00"} }), "malformed"}
	nobody := p.pays(t, number(500), transaction(500), 100)
	nobody.Envelope.MchID = "1900000777"
	all["merchant not configured"] = bad{nobody, "unknown_merchant"}
	all["unreadable in the pack"] = bad{wechatpay.Arrival{Deliveries: 1, Unreadable: "checksum differs", Envelope: wechatpay.Envelope{
		DeliveryID: "01980000-0000-7000-8000-000000000001", ReceivedAt: time.Now().UTC(), Body: []byte("\x00raw"),
	}}, "malformed"}
	all["refund of a payment that is not known"] = bad{p.refunds(t, number(500), transaction(500), "R1", "SUCCESS", 100), "unknown_order"}
	all["refund that ended in no known way"] = bad{p.refunds(t, number(500), transaction(500), "R2", "VANISHED", 100), "malformed"}
	return all
}

func TestSettle_poison_becomes_letters_and_its_hundred_neighbours_settle(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	var batch []wechatpay.Arrival
	for i := range 100 {
		b.order(number(i), 100)
		batch = append(batch, b.platform.pays(t, number(i), transaction(i), 100))
	}
	b.order(number(500), 100)
	b.order(number(600), 100)
	bad := poison(t, b)
	for _, one := range bad {
		batch = append(batch, one.arrival)
	}
	wrongAmount := b.platform.pays(t, number(600), transaction(600), 99)
	batch = append(batch, wrongAmount, b.platform.says(t, "SOMETHING.ELSE", resource{"whatever": 1}))
	rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })

	require.NoError(t, s.Settle(t.Context(), batch))

	for i := range 100 {
		require.Equal(t, pay.OrderPaid, b.state(number(i)))
	}
	require.Equal(t, 100, b.relay.facts(pay.FactOrderPaid))
	for name, one := range bad {
		reason, state, detail := b.letter(one.arrival.Envelope.DeliveryID)
		require.Equal(t, one.reason, reason, "%s: %s", name, detail)
		require.NotEmpty(t, detail, name)
		want := "open"
		if one.reason == "unknown_order" {
			want = "waiting"
		}
		require.Equal(t, want, state, name)
	}
	require.Equal(t, len(bad), b.count(`SELECT count(*) FROM dead_letters`))
	require.Equal(t, pay.OrderCreated, b.state(number(500)))
	// A wrong amount is money: kept and told, neither delivered nor a letter.
	require.Equal(t, pay.OrderCreated, b.state(number(600)))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE out_trade_no = $1 AND amount_fen = 99`, string(number(600))))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM anomalies WHERE kind = 'amount_mismatch' AND out_trade_no = $1`, string(number(600))))
	require.Equal(t, len(batch), b.count(`SELECT count(*) FROM deliveries`), "every envelope is archived")
}

func TestSettle_a_panic_while_reading_is_a_letter_of_its_own(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	kills := b.platform.pays(t, number(1), transaction(1), 100)
	s := b.service(func(o *settle.Options) {
		o.Open = func(env wechatpay.Envelope, c *merchant.Credentials) (wechatpay.Notification, error) {
			if env.DeliveryID == kills.Envelope.DeliveryID {
				var none []int
				_ = none[len(env.Body)] //nolint:govet // the panic is the point
			}
			return wechatpay.Open(env, c)
		}
	})
	b.order(number(1), 100)
	b.order(number(2), 100)
	require.NoError(t, s.Settle(t.Context(), []wechatpay.Arrival{kills, b.platform.pays(t, number(2), transaction(2), 100)}))
	reason, state, detail := b.letter(kills.Envelope.DeliveryID)
	require.Equal(t, "internal", reason)
	require.Equal(t, "open", state)
	require.Contains(t, detail, "index out of range")
	require.Equal(t, pay.OrderPaid, b.state(number(2)))

	// The next version reads it: the same bytes settle.
	require.NoError(t, b.service().Settle(t.Context(), []wechatpay.Arrival{kills}))
	require.Equal(t, pay.OrderPaid, b.state(number(1)))
	_, state, _ = b.letter(kills.Envelope.DeliveryID)
	require.Equal(t, "resolved", state)
}

func TestSettle_an_unknown_key_is_fetched_before_it_is_refused(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	fresh := b.platform
	fresh.keyID = "PUB_KEY_ID_0000000000000000000000000000000002"
	b.directory.late = []merchant.PublicKey{{ID: fresh.keyID, Key: &fresh.key.PublicKey}}
	b.order(number(1), 100)
	require.NoError(t, b.service().Settle(t.Context(), []wechatpay.Arrival{fresh.pays(t, number(1), transaction(1), 100)}))
	require.Equal(t, pay.OrderPaid, b.state(number(1)))
	require.Equal(t, 1, b.directory.refreshes)
}

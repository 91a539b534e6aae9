package settle_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// rehearsing is a service that may rehearse, what it logs, and its metrics.
func (b *bundle) rehearsing(change ...func(*settle.Options)) (*settle.Service, *strings.Builder, *prometheus.Registry) {
	said, registry := &strings.Builder{}, prometheus.NewRegistry()
	o := b.options
	o.Rehearsals, o.Registry, o.Log = b.store, registry, slog.New(slog.NewTextHandler(said, nil))
	o.Retry = func(context.Context, pay.MchID, pay.OutTradeNo) (int, error) { return 0, errors.New("nobody is woken") }
	for _, f := range change {
		f(&o)
	}
	return settle.New(o), said, registry
}

// rows counts the rows of everything that settling writes.
func (b *bundle) rows() int {
	b.t.Helper()
	return b.count(`SELECT (SELECT count(*) FROM payments) + (SELECT count(*) FROM history) + (SELECT count(*) FROM outbox) + (SELECT count(*) FROM deliveries)
		+ (SELECT count(*) FROM dead_letters) + (SELECT count(*) FROM audit) + (SELECT count(*) FROM refunds) + (SELECT count(*) FROM refund_hints) + (SELECT count(*) FROM delivery_attempts)`)
}

func counted(t *testing.T, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	total := 0.0
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			total += metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return total
}

func outcomes(effects []pay.Effect) []pay.Outcome {
	all := make([]pay.Outcome, len(effects))
	for i, e := range effects {
		all[i] = e.Outcome
	}
	return all
}

func expected(effects []pay.Effect) pay.ReplayAct {
	act := pay.ReplayAct{Actor: "token:me", Reason: "because", Orders: map[pay.OrderKey]int64{}}
	for _, e := range effects {
		if e.Order == nil {
			continue
		}
		if _, seen := act.Orders[e.Order.OrderKey]; !seen {
			act.Orders[e.Order.OrderKey] = e.Order.SequenceWas
		}
	}
	return act
}

func TestRehearse_reads_as_settling_does_asks_nobody_and_leaves_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	b.order(number(1), 100)
	b.order(number(2), 100)
	forged := b.platform.pays(t, number(1), transaction(3), 100)
	forged.Envelope.Body = append(forged.Envelope.Body, ' ')
	stranger := platform{key: b.platform.key, apiKey: apiKey, keyID: "PUB_KEY_ID_2"}
	batch := []wechatpay.Arrival{
		b.platform.pays(t, number(1), transaction(1), 100), b.platform.pays(t, number(1), transaction(2), 100), b.platform.pays(t, number(2), transaction(4), 99),
		forged, stranger.pays(t, number(2), transaction(5), 100), b.platform.pays(t, number(9), transaction(6), 100),
	}
	s, said, registry := b.rehearsing()
	before := b.rows()
	effects, err := s.Rehearse(t.Context(), batch)
	require.NoError(t, err)
	a, l := pay.OutcomeApplied, pay.OutcomeLettered
	require.Equal(t, []pay.Outcome{a, a, a, l, l, l}, outcomes(effects))
	require.Equal(t, pay.LetterBadSignature, effects[3].Cause.Reason)
	require.Equal(t, pay.LetterBadSignature, effects[4].Cause.Reason, "its key is not asked for")
	require.Zero(t, b.directory.refreshes)
	require.Equal(t, before, b.rows())
	require.Zero(t, counted(t, registry))
	require.Empty(t, said.String())
	require.Empty(t, b.relay.events)

	done, err := s.SettleExpected(t.Context(), batch, expected(effects))
	require.NoError(t, err)
	require.Equal(t, effects, done)
	require.Equal(t, pay.OrderPaid, b.state(number(1)))
	require.Equal(t, 1, b.relay.facts(pay.FactOrderPaid), "now it is told")
	require.Contains(t, said.String(), "settled")
	require.Positive(t, counted(t, registry))
	require.Zero(t, b.directory.refreshes)
	require.Equal(t, len(batch), b.count(`SELECT count(*) FROM audit WHERE action LIKE '%.replay' AND actor = 'token:me'`))
}

func TestRehearse_makes_a_letter_of_what_the_database_refuses(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	var batch []wechatpay.Arrival
	for i := range 12 {
		b.order(number(i), 100)
		tx := transaction(i)
		if i == 5 || i == 9 { // one transaction id for several orders: the books refuse it
			tx = transaction(2)
		}
		batch = append(batch, b.platform.pays(t, number(i), tx, 100))
	}
	s, said, _ := b.rehearsing()
	before := b.rows()
	effects, err := s.Rehearse(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, before, b.rows())
	require.Empty(t, said.String())
	for i, e := range effects {
		if i == 5 || i == 9 {
			require.Equal(t, pay.OutcomeLettered, e.Outcome)
			require.Equal(t, pay.LetterInternal, e.Cause.Reason)
			require.Contains(t, e.Cause.Detail, "payments_pkey")
			continue
		}
		require.Equal(t, pay.OutcomeApplied, e.Outcome)
		require.NotEmpty(t, e.Events)
	}
	done, err := s.SettleExpected(t.Context(), batch, expected(effects))
	require.NoError(t, err)
	require.Equal(t, effects, done)
	require.Equal(t, 10, b.count(`SELECT count(*) FROM orders WHERE state = 'paid'`))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND reason = 'internal'`))
}

func TestSettleExpected_takes_nothing_where_an_order_moved(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	b.order(number(1), 100)
	b.order(number(2), 100)
	batch := []wechatpay.Arrival{b.platform.pays(t, number(1), transaction(1), 100), b.platform.pays(t, number(2), transaction(2), 100)}
	s, _, registry := b.rehearsing()
	effects, err := s.Rehearse(t.Context(), batch)
	require.NoError(t, err)
	require.NoError(t, b.service().Settle(t.Context(), []wechatpay.Arrival{b.platform.pays(t, number(2), transaction(9), 100)}))
	before, told := b.rows(), len(b.relay.events)
	_, err = s.SettleExpected(t.Context(), batch, expected(effects))
	var moved *pay.MovedError
	require.ErrorAs(t, err, &moved)
	require.Equal(t, pay.MovedError{Order: pay.OrderKey{MchID: mchid, OutTradeNo: number(2)}, Expected: 1, Actual: 2}, *moved)
	require.Equal(t, before, b.rows())
	require.Len(t, b.relay.events, told)
	require.Zero(t, counted(t, registry))
	require.Equal(t, pay.OrderCreated, b.state(number(1)))
}

func TestRehearse_survives_a_reader_that_panics(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	b.order(number(1), 100)
	s, _, _ := b.rehearsing(func(o *settle.Options) {
		o.Open = func(wechatpay.Envelope, *merchant.Credentials) (wechatpay.Notification, error) { panic("no") }
	})
	before := b.rows()
	effects, err := s.Rehearse(t.Context(), []wechatpay.Arrival{b.platform.pays(t, number(1), transaction(1), 100)})
	require.NoError(t, err)
	require.Equal(t, pay.LetterInternal, effects[0].Cause.Reason)
	require.Equal(t, before, b.rows())
}

func TestRehearse_says_that_the_database_is_away(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s, _, _ := b.rehearsing()
	require.NoError(t, b.store.Close())
	_, err := s.Rehearse(t.Context(), []wechatpay.Arrival{b.platform.pays(t, number(1), transaction(1), 100)})
	require.Error(t, err)
	require.True(t, store.Retryable(err))
}

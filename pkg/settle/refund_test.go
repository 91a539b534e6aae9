package settle_test

import (
	"context"
	"crypto/aes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/deadletter"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// withLetters is a service whose waiting letters are looked after.
func (b *bundle) withLetters() (*settle.Service, *deadletter.Sweeper) {
	var sweeper *deadletter.Sweeper
	s := b.service(func(o *settle.Options) {
		o.Retry = func(ctx context.Context, id pay.MchID, no pay.OutTradeNo) (int, error) {
			return sweeper.Retry(ctx, id, no)
		}
	})
	sweeper = deadletter.New(b.store, s, slog.New(slog.DiscardHandler))
	return s, sweeper
}

func (b *bundle) settles(s *settle.Service, arrivals ...wechatpay.Arrival) {
	b.t.Helper()
	require.NoError(b.t, s.Settle(b.t.Context(), arrivals))
}

func (b *bundle) refund(no pay.OutRefundNo) pay.Refund {
	b.t.Helper()
	refund, found, err := b.store.Refund(b.t.Context(), mchid, no)
	require.NoError(b.t, err)
	require.True(b.t, found)
	return refund
}

func TestRefund_a_notice_is_booked_with_the_key_that_proved_it(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	b.order(number(1), 100)
	notice := b.platform.refunds(t, number(1), transaction(1), "R1", "SUCCESS", 40)
	b.settles(s, b.platform.pays(t, number(1), transaction(1), 100))
	b.settles(s, notice, b.platform.refunds(t, number(1), transaction(1), "R1", "SUCCESS", 40)) // WeChat Pay tells it twice
	b.settles(s, notice)
	refund := b.refund("R1")
	require.Equal(t, pay.RefundSucceeded, refund.State)
	require.Equal(t, pay.RefundByPlatform, refund.Origin, "nobody asked us for it")
	require.Equal(t, "招商银行信用卡0403", refund.ReceivedAccount)
	require.Equal(t, "50000R1", refund.RefundID)
	require.Equal(t, pay.CNY, refund.Currency)
	require.False(t, refund.SucceededAt.IsZero())
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE refunded_fen = 40 AND reserved_fen = 0 AND overrun_fen = 0`))
	require.Equal(t, 1, b.relay.facts(pay.FactRefundSucceeded))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM history WHERE out_refund_no = 'R1' AND source = 'notification' AND key_id = $1 AND delivery_id = $2`, keyID, string(notice.Envelope.DeliveryID)))
	require.Zero(t, b.count(`SELECT count(*) FROM dead_letters`))
	require.Equal(t, pay.OrderPaid, b.state(number(1)))
}

func TestRefund_notices_move_the_refund_that_was_asked_for(t *testing.T) {
	t.Parallel()
	for status, row := range map[string]struct {
		state pay.RefundState
		fact  pay.Fact
	}{
		"SUCCESS":    {pay.RefundSucceeded, pay.FactRefundSucceeded},
		"CLOSED":     {pay.RefundClosed, pay.FactRefundClosed},
		"ABNORMAL":   {pay.RefundAbnormal, pay.FactRefundAbnormal},
		"PROCESSING": {pay.RefundProcessing, ""},
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			b := setup(t, database(t))
			s := b.service()
			b.order(number(1), 100)
			b.settles(s, b.platform.pays(t, number(1), transaction(1), 100))
			b.asks("R1", 40)
			b.settles(s, b.platform.refunds(t, number(1), transaction(1), "R1", status, 40))
			require.Equal(t, row.state, b.refund("R1").State)
			require.Equal(t, pay.RefundByCommand, b.refund("R1").Origin)
			if row.fact != "" {
				require.Equal(t, 1, b.relay.facts(row.fact))
			}
		})
	}
}

// asks records a refund of order 1, as a shop's command does.
func (b *bundle) asks(no pay.OutRefundNo, amount pay.Fen) {
	b.t.Helper()
	settled, err := b.store.Settle(b.t.Context(), []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedRefundRequested, Source: pay.SourceCommand, Origin: pay.RefundByCommand, ObservedAt: time.Now(), MchID: mchid,
		OutTradeNo: number(1), TransactionID: pay.TransactionID(transaction(1)), OutRefundNo: no, RefundAmount: amount, Currency: pay.CNY, Digest: "d",
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(b.t, err)
	require.Nil(b.t, settled.Results[0].Refusal)
}

func TestRefund_a_notice_of_another_amount_is_a_letter_and_moves_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	b.order(number(1), 100)
	b.settles(s, b.platform.pays(t, number(1), transaction(1), 100))
	b.asks("R1", 40)
	notice := b.platform.refunds(t, number(1), transaction(1), "R1", "SUCCESS", 41)
	b.settles(s, notice)
	reason, state, _ := b.letter(notice.Envelope.DeliveryID)
	require.Equal(t, "mismatch", reason)
	require.Equal(t, "open", state)
	require.Equal(t, pay.RefundRequested, b.refund("R1").State)
}

func TestRefund_a_notice_before_its_payment_is_booked_with_it(t *testing.T) {
	t.Parallel()
	pays := func(b *bundle) wechatpay.Arrival { return b.platform.pays(b.t, number(1), transaction(1), 100) }
	booked := func(b *bundle, notice wechatpay.Arrival) {
		require.Equal(b.t, pay.RefundSucceeded, b.refund("R1").State)
		require.Equal(b.t, 1, b.count(`SELECT count(*) FROM payments WHERE refunded_fen = 40 AND reserved_fen = 0`))
		_, state, _ := b.letter(notice.Envelope.DeliveryID)
		require.Equal(b.t, "resolved", state)
		require.Equal(b.t, 1, b.relay.facts(pay.FactOrderPaid))
		require.Equal(b.t, 1, b.relay.facts(pay.FactRefundSucceeded))
	}
	for name, run := range map[string]func(b *bundle, notice wechatpay.Arrival){
		"one after the other": func(b *bundle, notice wechatpay.Arrival) {
			b.order(number(1), 100)
			s, _ := b.withLetters()
			b.settles(s, notice)
			require.Equal(b.t, 1, b.count(`SELECT count(*) FROM orders WHERE next_check_at <= now()`), "the order is asked about at once")
			b.settles(s, pays(b))
		},
		"in one pack": func(b *bundle, notice wechatpay.Arrival) {
			b.order(number(1), 100)
			s, _ := b.withLetters()
			b.settles(s, notice, pays(b))
		},
		"before the order, too": func(b *bundle, notice wechatpay.Arrival) {
			s, sweeper := b.withLetters()
			b.settles(s, notice)
			b.settles(s, pays(b))
			b.order(number(1), 100)
			_, err := sweeper.Retry(b.t.Context(), mchid, number(1))
			require.NoError(b.t, err)
		},
		"the payment in another process": func(b *bundle, notice wechatpay.Arrival) {
			b.order(number(1), 100)
			s, sweeper := b.withLetters()
			b.settles(s, notice)
			other, _ := b.withLetters()
			b.settles(other, pays(b))
			require.Eventually(b.t, func() bool {
				require.NoError(b.t, sweeper.Sweep(b.t.Context()))
				return b.count(`SELECT count(*) FROM refunds`) == 1
			}, 20*time.Second, 50*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, database(t))
			notice := b.platform.refunds(t, number(1), transaction(1), "R1", "SUCCESS", 40)
			run(b, notice)
			booked(b, notice)
		})
	}
}

// hint makes a v2 refund notice: encrypted with a hash of the shared key, and
// signed by nobody.
func hint(t testing.TB, p platform, no pay.OutTradeNo, tx, refund, status string) wechatpay.Arrival {
	t.Helper()
	plain := fmt.Appendf(nil, "<root><out_trade_no>%s</out_trade_no><transaction_id>%s</transaction_id><out_refund_no>%s</out_refund_no>"+
		"<refund_id>50000%s</refund_id><refund_status>%s</refund_status><total_fee>100</total_fee><refund_fee>40</refund_fee>"+
		"<success_time>2026-03-01 12:00:00</success_time></root>", no, tx, refund, refund, status)
	sum := md5.Sum([]byte(apiKey))
	block, err := aes.NewCipher([]byte(hex.EncodeToString(sum[:])))
	require.NoError(t, err)
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	for range padding {
		plain = append(plain, byte(padding))
	}
	for i := 0; i < len(plain); i += aes.BlockSize {
		block.Encrypt(plain[i:], plain[i:])
	}
	body := fmt.Sprintf("<xml><return_code>SUCCESS</return_code><appid>%s</appid><mch_id>%s</mch_id><nonce_str>n</nonce_str><req_info>%s</req_info></xml>",
		appid, mchid, base64.StdEncoding.EncodeToString(plain))
	a := p.signed(t, []byte(body))
	a.Envelope.Kind, a.Envelope.Headers = pay.DeliveryNotifyV2Refund, nil
	return a
}

func TestRefund_a_v2_notice_is_a_question_and_nothing_else(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	b.order(number(1), 100)
	b.settles(s, b.platform.pays(t, number(1), transaction(1), 100))
	b.asks("R1", 40)
	_, err := b.db.ExecContext(t.Context(), `UPDATE refunds SET next_check_at = now() + interval '1 hour'`)
	require.NoError(t, err)
	before := b.count(`SELECT count(*) FROM history`)
	forged := []wechatpay.Arrival{
		hint(t, b.platform, number(1), transaction(1), "R1", "SUCCESS"),
		hint(t, b.platform, number(1), transaction(1), "R2", "SUCCESS"),           // never asked for
		hint(t, b.platform, number(9), transaction(9), "R3", "REFUNDCLOSE"),       // of no order of ours
		hint(t, b.platform, number(1), transaction(1), "R1", "CHANGE"),            // again, and otherwise
		hint(t, b.platform, number(1), "9999999999999999999999", "R1", "SUCCESS"), // of another payment
	}
	b.settles(s, forged...)
	require.Equal(t, pay.RefundRequested, b.refund("R1").State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments WHERE refunded_fen = 0 AND reserved_fen = 40 AND overrun_fen = 0`))
	require.Equal(t, before, b.count(`SELECT count(*) FROM history`))
	require.Zero(t, b.relay.facts(pay.FactRefundSucceeded))
	require.Zero(t, b.count(`SELECT count(*) FROM dead_letters`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE next_check_at <= now()`), "ours is asked about now")
	require.Equal(t, 2, b.count(`SELECT count(*) FROM refund_hints WHERE out_refund_no IN ('R2', 'R3') AND protocol = 'v2'`), "and so are the others")
	require.Equal(t, len(forged), b.count(`SELECT count(*) FROM deliveries WHERE kind = 'notify_v2_refund'`), "every envelope is archived")
}

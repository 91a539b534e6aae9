package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	hintLease = refundLease
	// hintTries: a hint is a message that nobody signed. One that WeChat Pay
	// knows nothing of after so many questions was somebody's invention.
	hintTries = 10
)

// claimHints asks about refund numbers that somebody told of without proof.
func (s *Service) claimHints(ctx context.Context, mchid pay.MchID) (bool, error) {
	at := post{mchid, pay.APIRefundQuery}
	slots := s.crew.reserve(at, slotsOf(at.api))
	if slots == 0 {
		return true, nil
	}
	hints, err := s.Books.ClaimHints(ctx, mchid, s.budget(pay.APIRefundQuery), slots, hintLease)
	s.crew.release(at, slots-len(hints))
	if err != nil {
		return false, fmt.Errorf("claim hints: %w", err)
	}
	for _, h := range hints {
		s.crew.run(at, func() { s.takeHint(ctx, h) })
	}
	return len(hints) == slots, nil
}

// takeHint asks WeChat Pay: its verified answer is booked, the hint never is.
func (s *Service) takeHint(ctx context.Context, h pay.ClaimedHint) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	next, err := s.askHint(ctx, h)
	if err == nil {
		err = s.Books.PlanHint(ctx, h, next)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "a hint at a refund is asked about again when its lease runs out", "mchid", h.MchID, "out_refund_no", h.OutRefundNo, "error", err)
	}
}

// askHint says when to ask again; zero: never.
func (s *Service) askHint(ctx context.Context, h pay.ClaimedHint) (time.Time, error) {
	wechat, reachable := s.Merchants.WeChat(h.MchID)
	if !reachable {
		return time.Time{}, fmt.Errorf("merchant %s is not configured, or has no key to sign with", h.MchID)
	}
	calling, cancel := context.WithTimeout(ctx, callTimeout)
	answer, err := wechat.QueryRefund(calling, wechatpay.RefundQuery{Protocol: h.Protocol, AppID: s.appOf(h), OutRefundNo: h.OutRefundNo})
	cancel()
	s.metrics.count(pay.APIRefundQuery, err)
	again := s.now().Add(backoff(h.CheckCount+1, s.Waits.RefundBackoff))
	switch {
	case err == nil:
		booked, err := s.bookHint(ctx, h, answer)
		if err != nil || booked {
			return time.Time{}, err
		}
		return again, nil
	case wechatpay.IsNotExist(err) && h.CheckCount+1 >= hintTries:
		s.Log.WarnContext(ctx, "a message told of a refund that WeChat Pay does not know; it is dropped", "mchid", h.MchID, "out_refund_no", h.OutRefundNo, "out_trade_no", h.OutTradeNo)
		return time.Time{}, nil
	case !wechatpay.IsNotExist(err):
		s.limited(ctx, h.MchID, pay.APIRefundQuery, err)
	}
	return again, nil
}

// appOf is the appid that a question over v2 has to name: its order's, or any
// of the merchant's where we have no such order.
func (s *Service) appOf(h pay.ClaimedHint) pay.AppID {
	if h.AppID != "" {
		return h.AppID
	}
	if credentials, known := s.Merchants.Credentials(h.MchID); known && len(credentials.Merchant.Apps) > 0 {
		return credentials.Merchant.Apps[0].AppID
	}
	return ""
}

// bookHint settles WeChat Pay's word about a refund that may be new to us. While
// its payment is not in the books either, the word is archived and the hint
// stays: settling asked about the order at once, and the next try books both.
func (s *Service) bookHint(ctx context.Context, h pay.ClaimedHint, answer wechatpay.RefundAnswer) (booked bool, err error) {
	obs := answer.Observation(h.MchID, pay.SourceQuery)
	delivery, err := deliveryOf(answer.Answer, h.MchID, obs.OutTradeNo, obs.TransactionID)
	if err != nil {
		return false, err
	}
	obs.DeliveryID = delivery.ID
	entries := []pay.Entry{{Delivery: &delivery}, {Observation: &obs}}
	settled, err := s.Books.Settle(ctx, entries, s.policiesOf)
	if err != nil {
		return false, fmt.Errorf("settle: %w", err)
	}
	if len(settled.Results) != len(entries) {
		return false, errors.New("settle: it did not give a result for each entry")
	}
	result := settled.Results[1]
	s.metrics.booked.WithLabelValues(string(result.Outcome)).Inc()
	line := []any{"mchid", h.MchID, "out_refund_no", h.OutRefundNo, "out_trade_no", obs.OutTradeNo, "step", "hint asked", "state", obs.RefundState}
	if result.Letter == nil {
		s.Log.InfoContext(ctx, "refund", line...)
		return true, nil
	}
	s.Log.WarnContext(ctx, "refund", append(line, "letter", result.Letter.Detail)...)
	if result.Letter.Reason == pay.LetterUnknownOrder && h.CheckCount+1 < hintTries {
		return false, nil
	}
	if _, err := s.Books.Settle(ctx, []pay.Entry{{Delivery: &delivery, Letter: result.Letter}}, s.policiesOf); err != nil {
		return false, fmt.Errorf("write letter: %w", err)
	}
	return true, nil
}

package reconcile

import (
	"context"
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
		return time.Time{}, s.bookHint(ctx, h, answer)
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

// bookHint settles WeChat Pay's word about a refund that may be new to us.
func (s *Service) bookHint(ctx context.Context, h pay.ClaimedHint, answer wechatpay.RefundAnswer) error {
	obs := observationOf(answer, h.MchID, pay.SourceQuery)
	delivery, err := deliveryOf(answer.Answer, h.MchID, obs.OutTradeNo, obs.TransactionID)
	if err != nil {
		return err
	}
	obs.DeliveryID = delivery.ID
	settled, err := s.Books.Settle(ctx, []pay.Entry{{Delivery: &delivery, Observation: &obs}}, s.policiesOf)
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	line := []any{"mchid", h.MchID, "out_refund_no", h.OutRefundNo, "out_trade_no", obs.OutTradeNo, "step", "hint asked", "state", obs.RefundState}
	for _, result := range settled.Results {
		s.metrics.booked.WithLabelValues(string(result.Outcome)).Inc()
		if result.Letter != nil {
			line = append(line, "letter", result.Letter.Detail)
		}
	}
	s.Log.InfoContext(ctx, "refund", line...)
	return nil
}

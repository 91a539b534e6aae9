package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// follow asks where WeChat Pay sees a refund.
func (s *Service) follow(ctx context.Context, wechat RefundCalls, h held) (step, error) {
	asked := s.now()
	answer, err := s.queryRefund(ctx, wechat, h)
	switch {
	case err == nil:
		return s.found(ctx, h, answer)
	case wechatpay.IsNotExist(err) && h.State == pay.RefundRequested:
		return s.notThere(ctx, h, asked, err)
	case wechatpay.IsNotExist(err):
		st := step{what: "asked", call: err, urgent: "WeChat Pay does not know a refund that it had accepted; ask its support about it"}
		return s.later(ctx, st, h.plan(pay.APIRefundQuery, s.now().Add(seldom(s.Waits.RefundPoll)), h.CheckCount+1))
	}
	return s.unanswered(ctx, h, err)
}

func (s *Service) queryRefund(ctx context.Context, wechat RefundCalls, h held) (wechatpay.RefundAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := wechat.QueryRefund(ctx, h.query())
	s.metrics.count(pay.APIRefundQuery, err)
	return answer, err
}

// unanswered: no clear answer says nothing at all. It is asked again, later
// each time.
func (s *Service) unanswered(ctx context.Context, h held, err error) (step, error) {
	wait := backoff(h.CheckCount+1, s.Waits.RefundBackoff)
	s.limited(ctx, h.MchID, pay.APIRefundQuery, err)
	if wechatpay.IsFrequencyLimited(err) {
		wait = s.Waits.FrequencyLimited
	}
	return s.later(ctx, step{what: "asked", call: err}, h.plan(pay.APIRefundQuery, s.now().Add(wait), h.CheckCount+1))
}

// found books what has moved and plans the next question about what has not.
func (s *Service) found(ctx context.Context, h held, answer wechatpay.RefundAnswer) (step, error) {
	if answer.State() == h.State {
		return s.unmoved(ctx, h)
	}
	s.money.forget(h.MchID, h.OutRefundNo)
	st, done, err := s.bookRefund(ctx, h, step{what: "asked"}, answer.Observation(h.MchID, pay.SourceQuery), &answer.Answer)
	if err != nil || done {
		return st, err
	}
	return s.unmoved(ctx, h)
}

// unmoved is a refund that stands where it stood.
func (s *Service) unmoved(ctx context.Context, h held) (step, error) {
	n := h.CheckCount + 1
	if h.State == pay.RefundAbnormal {
		st := step{}
		if n == 1 { // once for each time that it became abnormal
			st = step{what: "asked", state: h.State, urgent: "the money could not be delivered to the buyer: say where it shall go (POST /v1/refunds/{out_refund_no}/abnormal, or the merchant platform)"}
		}
		return s.later(ctx, st, h.plan(pay.APIRefundQuery, s.now().Add(seldom(s.Waits.RefundPoll)), n))
	}
	return s.later(ctx, step{}, h.plan(pay.APIRefundQuery, s.now().Add(pollAfter(n, s.Waits.RefundPoll)), n))
}

// notThere: WeChat Pay has no such refund, so none was accepted as yet. What
// that means depends on how the latest attempt ended.
func (s *Service) notThere(ctx context.Context, h held, asked time.Time, missing error) (step, error) {
	last, there := latest(h.Attempts)
	if there && last.Outcome == pay.AttemptRejected && !last.FinishedAt.IsZero() {
		return s.turnedAway(ctx, h, last, asked, missing)
	}
	if there && last.Outcome == pay.AttemptAccepted {
		st := step{what: "asked", call: missing}
		if h.CheckCount == 0 {
			st.urgent = "WeChat Pay accepted it and does not know it: it is asked about again, and never sent again; if this line comes again, ask its support"
		}
		wait := doubled(s.Waits.RefundBackoff, h.CheckCount+1, slowly)
		return s.later(ctx, st, h.plan(pay.APIRefundQuery, s.now().Add(wait), h.CheckCount+1))
	}
	st := step{what: "not there, sent again"}
	if there && last.FinishedAt.IsZero() {
		// Nobody came back from it, and nobody will: its lease is over.
		last.Outcome, last.FinishedAt = pay.AttemptUnknown, s.now()
		if err := s.Books.EndAttempt(ctx, h.MchID, h.OutRefundNo, last); err != nil {
			return st, fmt.Errorf("end an attempt that was left: %w", err)
		}
	}
	// The same number with the same bytes pays once, however often it is sent
	// (WeChat Pay doc 4014959631). So an answer without a signature, which is
	// how WeChat Pay mostly says this, is enough to send again; it is never
	// enough to fail.
	return s.later(ctx, st, h.plan(pay.APIRefund, s.now(), h.CheckCount+1))
}

// turnedAway: the latest attempt was rejected for good, and nothing is there.
// The rule that ends the refund is pay.MayFail's, applied under the row lock.
// While it does not hold, the refund is asked about, and never sent.
func (s *Service) turnedAway(ctx context.Context, h held, last pay.Attempt, asked time.Time, missing error) (step, error) {
	st := step{what: "asked", state: h.State}
	if !wechatpay.IsVerifiedNotExist(missing) {
		st.call = missing
		if h.CheckCount == 0 {
			st.urgent = "it was rejected for good (" + last.Code + "), and WeChat Pay's word that it has no such refund carries no signature: it is asked about again; look in the merchant platform whether the refund is there, and if it is not, `fenflow refund give-up` ends it on your word"
		}
		wait := doubled(s.Waits.RefundBackoff, h.CheckCount+1, slowly)
		return s.later(ctx, st, h.plan(pay.APIRefundQuery, s.now().Add(wait), h.CheckCount+1))
	}
	code, reason := h.FailureCode, h.FailureReason
	if code == "" {
		code = last.Code
	}
	st, done, err := s.bookRefund(ctx, h, st, pay.Observation{
		Kind: pay.ObservedRefundMissing, Source: pay.SourceQuery, ObservedAt: s.now(),
		MchID: h.MchID, OutTradeNo: h.OutTradeNo, TransactionID: h.TransactionID, OutRefundNo: h.OutRefundNo,
		AskedAt: asked, Quarantine: s.Waits.UnknownQuarantine, Code: code, Reason: reason,
	}, nil)
	switch {
	case err != nil:
		return st, err
	case done:
		st.urgent = "WeChat Pay rejected it for good (" + code + "); a new refund with another number may be asked for once the cause is put right"
		return st, nil
	}
	// A second later: the clocks of this machine and of the database may differ.
	at := quarantineEnds(h.Attempts, s.Waits.UnknownQuarantine).Add(time.Second)
	if soonest := s.now().Add(s.Waits.RefundBackoff); at.Before(soonest) {
		at = soonest
	}
	st.what = "rejected, and waits until no earlier attempt can be under way"
	return s.later(ctx, st, h.plan(pay.APIRefundQuery, at, h.CheckCount+1))
}

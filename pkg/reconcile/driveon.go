package reconcile

import (
	"context"
	"errors"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// driveOn sends an abnormal refund on its way again, as an operator wished. A
// call of unknown outcome is followed by a question before it is made again.
func (s *Service) driveOn(ctx context.Context, wechat WeChat, h held) (step, error) {
	if len(h.AbnormalRequest) == 0 || h.State != pay.RefundAbnormal {
		return s.later(ctx, step{what: "nothing to drive on"}, h.plan(pay.APIRefundQuery, s.now(), 0))
	}
	if h.CheckCount > 0 {
		s.spend(ctx, h.MchID, pay.APIRefundQuery, 1) // the claim paid for the other call
		answer, err := s.queryRefund(ctx, wechat, h)
		switch {
		case err != nil:
			return s.later(ctx, step{what: "asked", call: err}, s.driveAgain(h, err))
		case answer.State() != pay.RefundAbnormal:
			return s.drivenOn(ctx, h, step{what: "asked"}, answer, pay.SourceQuery)
		}
	}
	if !h.inTime() {
		return step{}, errors.New("the lease is too short for a call: this machine was held up")
	}
	return s.apply(ctx, wechat, h)
}

func (s *Service) apply(ctx context.Context, wechat RefundCalls, h held) (step, error) {
	st := step{what: "driven on"}
	calling, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	answer, err := wechat.ApplyAbnormal(calling, h.RefundID, h.AbnormalKeyID, h.AbnormalRequest)
	cancel()
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	s.metrics.count(pay.APIRefundAbnormal, err)
	if err == nil {
		return s.drivenOn(ctx, h, st, answer, pay.SourceCall)
	}
	st.call = err
	if wechatpay.RefundVerdictOf(err) == wechatpay.RefundUnknown {
		return s.later(ctx, st, s.driveAgain(h, err))
	}
	st.urgent = "WeChat Pay refuses to drive it on: it stays abnormal; put right what the code names and ask again"
	plan := h.plan(pay.APIRefundQuery, s.now().Add(seldom(s.Waits.RefundPoll)), 1)
	plan.FailureCode, plan.FailureReason = failureOf(err)
	return s.later(ctx, st, plan)
}

func (s *Service) driveAgain(h held, err error) pay.RefundPlan {
	wait := backoff(h.CheckCount+1, s.Waits.RefundBackoff)
	if wechatpay.IsFrequencyLimited(err) {
		wait = s.Waits.FrequencyLimited
	}
	return h.plan(pay.APIRefundAbnormal, s.now().Add(wait), h.CheckCount+1)
}

// drivenOn books where the refund is after it was driven on.
func (s *Service) drivenOn(ctx context.Context, h held, st step, answer wechatpay.RefundAnswer, source pay.Source) (step, error) {
	obs := answer.Observation(h.MchID, source)
	obs.DrivenOn = true
	st, done, err := s.bookRefund(ctx, h, st, obs, &answer.Answer)
	if err != nil || done {
		return st, err
	}
	return s.later(ctx, st, h.plan(pay.APIRefundQuery, s.now().Add(seldom(s.Waits.RefundPoll)), 1))
}

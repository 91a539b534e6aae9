package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// send sends a refund:
//
//  1. what may already be under way there is asked about first;
//  2. the bytes are made once;
//  3. the attempt is put on disk, with the bytes, under the lease;
//  4. the stored bytes are sent, never others, under no other number, ever;
//  5. how the call ended is put on disk;
//  6. the answer is booked, or the question is planned that decides what the
//     call's end leaves open.
func (s *Service) send(ctx context.Context, wechat RefundCalls, h held) (step, error) {
	st := step{what: "sent"}
	if !maySend(h.Attempts) {
		st.what = "asked first"
		s.giveBack(ctx, h.MchID, pay.APIRefund)
		return s.later(ctx, st, h.plan(pay.APIRefundQuery, s.now(), h.CheckCount))
	}
	body, err := s.bodyOf(wechat, h)
	if err != nil {
		return s.unmade(ctx, h, err)
	}
	begun, err := s.Books.BeginAttempt(ctx, pay.AttemptStart{
		MchID: h.MchID, OutRefundNo: h.OutRefundNo, Lease: h.lease, Request: body, Gap: s.Waits.RefundGap, MinLease: minLease,
	})
	switch {
	case err != nil:
		return st, fmt.Errorf("begin attempt: %w", err)
	case !begun.Begun:
		return s.notYet(ctx, h, begun)
	case !h.inTime():
		return st, errors.New("the lease is too short for a call: this machine was held up")
	}
	return s.call(ctx, wechat, h, begun)
}

// bodyOf gives the bytes to store; what is stored already counts.
func (s *Service) bodyOf(wechat RefundCalls, h held) ([]byte, error) {
	if len(h.Request) > 0 {
		return h.Request, nil
	}
	body, err := wechat.RefundBody(wechatpay.RefundRequest{
		Protocol: h.Protocol, AppID: h.AppID, MchID: h.MchID, TransactionID: h.TransactionID, OutTradeNo: h.OutTradeNo,
		OutRefundNo: h.OutRefundNo, Amount: h.Amount, Total: h.Total, Currency: h.Currency, Reason: h.Reason,
		Funds: h.Funds, NotifyURL: s.NotifyURL(h.MchID, h.Protocol),
	})
	if err != nil {
		return nil, fmt.Errorf("make refund body: %w", err)
	}
	return body, nil
}

// unmade is a refund whose call cannot even be written. Nothing was sent.
func (s *Service) unmade(ctx context.Context, h held, err error) (step, error) {
	s.giveBack(ctx, h.MchID, pay.APIRefund)
	st := step{what: "not sent", call: err, urgent: "its call cannot be made: put the merchant's configuration right"}
	plan := h.plan(pay.APIRefund, s.now().Add(s.Waits.NotEnough), h.CheckCount)
	plan.FailureCode, plan.FailureReason = notSent, couldNotSend
	return s.later(ctx, st, plan)
}

// notYet is a refund that must wait for another part of its payment, or whose
// lease is gone: then it is somebody else's by now.
func (s *Service) notYet(ctx context.Context, h held, begun pay.AttemptBegun) (step, error) {
	s.giveBack(ctx, h.MchID, pay.APIRefund)
	if begun.WaitUntil.IsZero() {
		return step{}, errors.New("the lease is lost or too short")
	}
	return s.later(ctx, step{what: "waits for another refund of its payment"}, h.plan(pay.APIRefund, begun.WaitUntil, h.CheckCount))
}

func (s *Service) call(ctx context.Context, wechat RefundCalls, h held, begun pay.AttemptBegun) (step, error) {
	calling, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	answer, callErr := wechat.SubmitRefund(calling, h.Protocol, begun.Request)
	cancel()
	// What came of it is written down however long the steps before it took.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	s.metrics.count(pay.APIRefund, callErr)
	attempt := attemptOf(begun.Number, answer, callErr)
	attempt.FinishedAt = s.now()
	s.metrics.refunds.WithLabelValues(string(attempt.Outcome)).Inc()
	s.charge(ctx, h, callErr)
	st := step{what: fmt.Sprintf("sent, attempt %d %s", attempt.Number, attempt.Outcome), call: callErr}
	// The answer's effect matters more than this row: it is tried even if the
	// row cannot be completed.
	endErr := s.Books.EndAttempt(ctx, h.MchID, h.OutRefundNo, attempt)
	st, err := s.after(ctx, h, st, attempt, answer, callErr)
	return st, errors.Join(endErr, err)
}

// attemptOf is how a call ended, for its row.
func attemptOf(number int, answer wechatpay.RefundAnswer, err error) pay.Attempt {
	a := pay.Attempt{Number: number, Outcome: pay.AttemptOutcome(wechatpay.RefundVerdictOf(err)), RequestID: answer.Answer.RequestID}
	var e *wechatpay.CallError
	switch {
	case err == nil:
		a.Status = http.StatusOK
	case errors.As(err, &e):
		a.Status, a.Code, a.RequestID = e.Status, e.Code, e.RequestID
	}
	return a
}

// charge makes an answer of error cost what WeChat Pay's own limit on them asks.
func (s *Service) charge(ctx context.Context, h held, err error) {
	var e *wechatpay.CallError
	extra := errorCost(s.Budget.Refund)
	if !errors.As(err, &e) || e.Status == 0 || extra <= 0 {
		return
	}
	s.spend(ctx, h.MchID, pay.APIRefund, extra)
}

// after books an acceptance; any other end is asked about before anything else.
func (s *Service) after(ctx context.Context, h held, st step, a pay.Attempt, answer wechatpay.RefundAnswer, err error) (step, error) {
	now := s.now()
	plan := h.plan(pay.APIRefundQuery, now, 0)
	plan.FailureCode, plan.FailureReason = failureOf(err)
	switch a.Outcome {
	case pay.AttemptAccepted:
		s.money.forget(h.MchID, h.OutRefundNo)
		st, done, err := s.bookRefund(ctx, h, st, answer.Observation(h.MchID, pay.SourceCall), &answer.Answer)
		if err != nil || done {
			return st, err
		}
		return s.later(ctx, st, h.plan(pay.APIRefundQuery, now.Add(s.Waits.RefundPoll), 0))
	case pay.AttemptRejected:
		s.money.forget(h.MchID, h.OutRefundNo)
	case pay.AttemptNotEnough:
		s.money.want(h.MchID, h.OutRefundNo, now.Add(2*s.Waits.NotEnough))
		plan.NextCheckAt = now.Add(s.Waits.NotEnough)
		st.urgent = news(h, plan, "there is too little money in the merchant's account: top it up; the same refund is sent again by itself, or at once with `fenflow refund retry`")
	case pay.AttemptBlocked:
		plan.NextCheckAt = now.Add(s.Waits.NotEnough)
		st.urgent = news(h, plan, "WeChat Pay refuses it until somebody has put something right: look at the code, and at keys, certificate and permissions in the merchant platform; it is sent again by itself, or at once with `fenflow refund retry`")
	case pay.AttemptUnknown:
		plan.NextCheckAt = now.Add(backoff(unknownInARow(append(h.Attempts, a)), s.Waits.RefundBackoff))
		if wechatpay.IsFrequencyLimited(err) {
			s.limited(ctx, h.MchID, pay.APIRefund, err)
			plan.NextCheckAt = now.Add(s.Waits.FrequencyLimited)
		}
	}
	return s.later(ctx, st, plan)
}

// news is a line for an operator once per change of a refund's trouble; while
// it stays the same, the step's own line is enough.
func news(h held, plan pay.RefundPlan, line string) string {
	if h.FailureCode == plan.FailureCode {
		return ""
	}
	return line
}

// The failure of a call that never left.
const (
	notSent      = "NOT_SENT"
	couldNotSend = "the call could not be made from this configuration; the reconciler's log says what is missing"
)

// failureOf is why a call did not succeed, for people.
func failureOf(err error) (code, reason string) {
	var e *wechatpay.CallError
	if !errors.As(err, &e) {
		return "", ""
	}
	switch {
	case e.Code != "":
		return e.Code, e.Message
	case e.Status != 0:
		return fmt.Sprintf("HTTP_%d", e.Status), e.Message
	case e.Class == wechatpay.ClassConfig:
		return notSent, couldNotSend
	}
	return "NO_ANSWER", "no answer that can be believed"
}

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
	// refundLease covers a commit, a call, and two commits after it.
	refundLease = 60 * time.Second
	// minLease: a call starts only with so much of the lease left, which is
	// twice the call's time-out. Whoever takes over finds no call under way.
	minLease = 20 * time.Second
)

// SweepRefunds takes every refund that is due one step on: it sends those that
// were requested, asks about those under way, drives on abnormal ones that an
// operator wants driven on, and asks about hints.
func (s *Service) SweepRefunds(ctx context.Context) error {
	return s.sweep(ctx, SweepRefunds, nil,
		s.claimRefunds(pay.APIRefund), s.claimRefunds(pay.APIRefundQuery), s.claimRefunds(pay.APIRefundAbnormal), s.claimHints)
}

func (s *Service) claimRefunds(api pay.API) claim {
	return func(ctx context.Context, mchid pay.MchID) (bool, error) {
		at := post{mchid, api}
		slots := s.crew.reserve(at, slotsOf(api))
		if slots == 0 {
			return true, nil
		}
		deadline := time.Now().Add(refundLease - minLease)
		claimed, err := s.Books.ClaimRefunds(ctx, mchid, s.budget(api), slots, refundLease)
		s.crew.release(at, slots-len(claimed.Refunds))
		if err != nil {
			return false, fmt.Errorf("claim refunds for %s: %w", api, err)
		}
		s.heard(claimed.Lease, refundLease)
		for _, r := range claimed.Refunds {
			s.crew.run(at, func() { s.takeOn(ctx, held{r, claimed.Lease, deadline}) })
		}
		return claimed.More, nil
	}
}

// SubmitRefund sends one refund now, if it is due. Without a free slot or token
// the next sweep finds it.
func (s *Service) SubmitRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo) error {
	at := post{mchid, pay.APIRefund}
	if _, reachable := s.Merchants.WeChat(mchid); !reachable || s.crew.reserve(at, 1) == 0 {
		return nil
	}
	deadline := time.Now().Add(refundLease - minLease)
	claimed, err := s.Books.ClaimRefund(ctx, mchid, no, s.budget(pay.APIRefund), refundLease)
	if err != nil || len(claimed.Refunds) == 0 {
		s.crew.release(at, 1)
		if err != nil {
			return fmt.Errorf("claim refund: %w", err)
		}
		return nil
	}
	s.heard(claimed.Lease, refundLease)
	s.crew.run(at, func() { s.takeOn(ctx, held{claimed.Refunds[0], claimed.Lease, deadline}) })
	return nil
}

// held is a refund that this process holds until the lease ends.
type held struct {
	pay.ClaimedRefund
	lease time.Time
	// deadline is until when a call may start, by this machine's own clock,
	// which no correction of the time can move: it holds its monotonic reading.
	deadline time.Time
}

// inTime says whether a call may still start.
func (h held) inTime() bool { return time.Now().Before(h.deadline) }

func (h held) query() wechatpay.RefundQuery {
	return wechatpay.RefundQuery{Protocol: h.Protocol, AppID: h.AppID, OutRefundNo: h.OutRefundNo}
}

// plan starts a plan that keeps what the refund's row says.
func (h held) plan(api pay.API, at time.Time, count int) pay.RefundPlan {
	return pay.RefundPlan{
		MchID: h.MchID, OutRefundNo: h.OutRefundNo, Lease: h.lease,
		NextCheckAt: at, CheckAPI: api, CheckCount: count,
		FailureCode: h.FailureCode, FailureReason: h.FailureReason,
	}
}

// takeOn makes the step that is due, under what is left of the lease.
func (s *Service) takeOn(ctx context.Context, h held) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	wechat, reachable := s.Merchants.WeChat(h.MchID)
	if !reachable {
		return // taken out of the configuration; the lease runs out
	}
	var (
		step step
		err  error
	)
	switch h.CheckAPI {
	case pay.APIRefundQuery:
		step, err = s.follow(ctx, wechat, h)
	case pay.APIRefundAbnormal:
		step, err = s.driveOn(ctx, wechat, h)
	default:
		step, err = s.send(ctx, wechat, h)
	}
	s.tellStep(ctx, h, step, err)
}

// step is what became of a refund that was taken on, for the log.
type step struct {
	what   string // asked, sent, waits, …
	state  pay.RefundState
	next   pay.RefundPlan // zero: resolved, or planned by what was booked
	call   error          // what the call itself came to
	urgent string         // an operator is to do this; empty: nothing
}

// tellStep writes the step's one line. A question that moved nothing writes none.
func (s *Service) tellStep(ctx context.Context, h held, st step, err error) {
	line := []any{"mchid", h.MchID, "out_refund_no", h.OutRefundNo, "out_trade_no", h.OutTradeNo, "amount_fen", h.Amount, "step", st.what}
	if st.state != "" {
		line = append(line, "state", st.state)
	}
	if !st.next.NextCheckAt.IsZero() {
		line = append(line, "next", st.next.CheckAPI, "at", st.next.NextCheckAt)
	}
	if st.call != nil {
		line = append(line, "error", st.call)
	}
	switch {
	case err != nil:
		s.Log.WarnContext(ctx, "a refund's step broke off; it is taken up again when its lease runs out", append(line, "because", err)...)
	case st.urgent != "":
		s.Log.ErrorContext(ctx, "refund: "+st.urgent, append(line, "refund_id", h.RefundID)...)
	case st.call != nil:
		s.Log.WarnContext(ctx, "refund", line...)
	case st.what != "":
		s.Log.InfoContext(ctx, "refund", line...)
	}
}

// later plans the next step and ends the lease.
func (s *Service) later(ctx context.Context, st step, plan pay.RefundPlan) (step, error) {
	st.next = plan
	if err := s.Books.PlanRefund(ctx, plan); err != nil {
		return st, fmt.Errorf("plan refund: %w", err)
	}
	return st, nil
}

// bookRefund settles WeChat Pay's verified word about a refund and says whether
// that was the step: it moved, or needs no further one. What does not fit what
// we know is archived as a letter by that same commit, and waits for a person.
func (s *Service) bookRefund(ctx context.Context, h held, st step, obs pay.Observation, answer *wechatpay.Answer) (_ step, done bool, err error) {
	entry := pay.Entry{Observation: &obs}
	if answer != nil {
		delivery, err := deliveryOf(*answer, h.MchID, h.OutTradeNo, h.TransactionID)
		if err != nil {
			return st, false, err
		}
		entry.Delivery, obs.DeliveryID = &delivery, delivery.ID
	}
	settled, err := s.Books.Settle(ctx, []pay.Entry{entry}, s.policiesOf)
	if err != nil {
		return st, false, fmt.Errorf("settle: %w", err)
	}
	if len(settled.Results) != 1 {
		return st, false, errors.New("settle: it gave no result")
	}
	result := settled.Results[0]
	s.metrics.booked.WithLabelValues(string(result.Outcome)).Inc()
	if result.Letter != nil {
		st.urgent = "WeChat Pay's answer does not fit it and became a letter; compare both, it is asked about again in an hour: " + result.Letter.Detail
		st, err = s.later(ctx, st, h.plan(pay.APIRefundQuery, s.now().Add(slowly), h.CheckCount+1))
		return st, true, err
	}
	if result.Refund == nil {
		return st, false, nil
	}
	st.state = result.Refund.State
	return st, result.Outcome == pay.OutcomeApplied || !st.state.Unresolved(), nil
}

// observationOf is a verified answer about a refund.
func observationOf(a wechatpay.RefundAnswer, mchid pay.MchID, source pay.Source) pay.Observation {
	return a.Observation(mchid, source)
}

func stateOf(s wechatpay.RefundStatus) pay.RefundState { return s.State() }

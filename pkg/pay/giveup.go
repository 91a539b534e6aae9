package pay

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// giveUp takes a person's word that a refund is at its end which WeChat Pay, as
// it says without a signature, does not have. The word stands for that signature
// and for nothing else. Should WeChat Pay own up to the refund later, it is
// booked: failed goes on to processing.
func (b *Book) giveUp(obs Observation, r *Refund) Change {
	switch {
	case r == nil:
		return refuse(RefusedGiveUp, "order %s has no refund %s", obs.OutTradeNo, obs.OutRefundNo)
	case r.State == RefundFailed:
		return Change{Refund: r}
	}
	attempts := b.Attempts[obs.OutRefundNo]
	if why := WhyNotGiveUp(*r, attempts, obs.AskedAt, obs.Quarantine); why != "" {
		return refuse(RefusedGiveUp, "%s", why)
	}
	var c Change
	if r.FailureCode == "" {
		r.FailureCode, r.FailureReason = obs.Code, obs.Reason
	}
	b.moveRefund(&c, obs, r, RefundFailed)
	b.audit(&c, obs, "refund.give_up", r, map[string]any{"asked_at": obs.AskedAt.UTC().Format(time.RFC3339), "attempts": len(attempts), "code": r.FailureCode})
	c.Refund = r
	return c
}

// WhyNotGiveUp says what keeps a person from giving a refund up; empty: nothing.
// It is MayFail without its last condition, the signature under WeChat Pay's word
// that it has no such refund, and open to refunds that are blocked, which no
// answer ever ends by itself.
func WhyNotGiveUp(r Refund, attempts []Attempt, askedAt time.Time, quarantine time.Duration) string {
	if r.State != RefundRequested {
		return fmt.Sprintf("refund %s is %s", r.OutRefundNo, r.State)
	}
	if len(attempts) == 0 {
		return "it was never sent: it is sent by itself"
	}
	for _, a := range attempts {
		until := a.StartedAt.Add(quarantine)
		switch {
		case a.Outcome == AttemptAccepted:
			return fmt.Sprintf("WeChat Pay accepted attempt %d", a.Number)
		case a.Outcome == AttemptUnknown && askedAt.Before(until):
			return fmt.Sprintf("attempt %d may still be under way until %s, and nobody's word shortens that", a.Number, until.UTC().Format(time.RFC3339))
		}
	}
	latest := slices.MaxFunc(attempts, func(a, b Attempt) int { return cmp.Compare(a.Number, b.Number) })
	switch {
	case latest.Outcome == AttemptUnknown || latest.FinishedAt.IsZero():
		return fmt.Sprintf("the outcome of its latest attempt, %d, is not known: it is asked about and sent again by itself, with the same bytes", latest.Number)
	case latest.Outcome == AttemptNotEnough:
		return "there was too little money in the merchant's account: it is sent again by itself"
	case !askedAt.After(latest.FinishedAt):
		return fmt.Sprintf("WeChat Pay was asked before attempt %d had ended", latest.Number)
	}
	return ""
}

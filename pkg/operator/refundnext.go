package operator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

type refundNext struct {
	At   time.Time `json:"at"`
	Call string    `json:"call"`
	Why  string    `json:"why"`
	Held bool      `json:"held,omitempty"`
}

// nextOf says what happens to a refund next by itself, and why.
func nextOf(r pay.RefundMoment) *refundNext {
	if !r.State.Unresolved() {
		return nil
	}
	return &refundNext{At: r.NextCheckAt, Call: string(r.CheckAPI), Why: whyNext(r), Held: r.Held}
}

func whyNext(r pay.RefundMoment) string {
	switch {
	case r.CheckAPI == pay.APIRefundAbnormal:
		return "it is driven on to where an operator or the shop said; WeChat Pay is asked about it before each call"
	case r.State == pay.RefundProcessing:
		return "WeChat Pay has it; it is asked until it says how the refund ends"
	case r.State == pay.RefundAbnormal:
		return "the buyer's account cannot take the money: say where it shall go (`fenflow refund abnormal`); WeChat Pay is asked now and then"
	case len(r.Attempts) == 0:
		return "it is sent for the first time; parts of one payment go a minute apart"
	}
	latest := slices.MaxFunc(r.Attempts, func(a, b pay.Attempt) int { return cmp.Compare(a.Number, b.Number) })
	return whyAfter(latest, r.CheckAPI, r.Held)
}

// whyAfter is what becomes of a refund that WeChat Pay is not known to have, by
// how the latest call ended. held: somebody is at the refund, and a call that has
// not ended may be theirs.
func whyAfter(latest pay.Attempt, call pay.API, held bool) string {
	then := "WeChat Pay is asked whether it has it, and if not it is sent again"
	if call == pay.APIRefund {
		then = "it is sent again, with the same number and bytes"
	}
	switch latest.Outcome {
	case pay.AttemptNotEnough:
		return "there was too little money in the merchant's account: top it up; " + then
	case pay.AttemptBlocked:
		return fmt.Sprintf("WeChat Pay refuses it (%s) until somebody has put that right; %s", latest.Code, then)
	case pay.AttemptRejected:
		return fmt.Sprintf("WeChat Pay rejected it for good (%s); it fails once WeChat Pay has signed that it has no such refund, and is never sent again. Without a signature `fenflow refund give-up` ends it", latest.Code)
	case pay.AttemptAccepted:
		return "WeChat Pay accepted it; it is asked until it knows the refund"
	case pay.AttemptUnknown:
	}
	switch {
	case latest.FinishedAt.IsZero() && held:
		return fmt.Sprintf("attempt %d is under way; if nobody comes back from it, %s", latest.Number, then)
	case latest.FinishedAt.IsZero():
		return fmt.Sprintf("nobody came back from attempt %d yet; %s", latest.Number, then)
	}
	return fmt.Sprintf("the outcome of attempt %d is not known; %s", latest.Number, then)
}

package pay

import (
	"fmt"
	"time"
)

// WhyNotRetry says what keeps a refund that waits from being taken up at once;
// empty: nothing. What is brought forward is the next call as it is planned, so
// that nothing is sent that would not be sent anyway. A wait that an unknown
// outcome asks for is never shortened.
func WhyNotRetry(r Refund, attempts []Attempt, held bool, at time.Time, quarantine time.Duration) string {
	switch {
	case !r.State.Unresolved():
		return fmt.Sprintf("refund %s is %s: nothing of it waits", r.OutRefundNo, r.State)
	case held:
		return "it is being sent or asked about at this moment: look again in a minute"
	case r.CheckAPI == APIRefundAbnormal:
		return "it is being driven on as was asked, and WeChat Pay is asked about it before each call"
	}
	for _, a := range attempts {
		if until := a.StartedAt.Add(quarantine); a.Outcome == AttemptUnknown && at.Before(until) {
			return fmt.Sprintf("the outcome of attempt %d is not known, and it may still be under way until %s: WeChat Pay is asked about it by itself, and that wait is never shortened",
				a.Number, until.UTC().Format(time.RFC3339))
		}
	}
	return ""
}

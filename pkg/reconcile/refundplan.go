package reconcile

import (
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	// backoffAtMost bounds the waits after unknown outcomes, in first waits.
	backoffAtMost = 30
	// pollsAtFirst: WeChat Pay asks for a question each minute, and fewer after
	// five of them: 5, 10, 20, 30 minutes and so on (doc 4014959631).
	pollsAtFirst = 5
	// errorsAllowed: WeChat Pay takes 6 refund requests a second that it turns
	// away (doc 4014959631), so each costs a sixth of a second's budget.
	errorsAllowed = 6
)

// pollAfter is the wait before the n-th next question (from 1) about a refund
// that is under way.
func pollAfter(n int, poll time.Duration) time.Duration {
	switch n - pollsAtFirst {
	case 1:
		return 5 * poll
	case 2:
		return 10 * poll
	case 3:
		return 20 * poll
	}
	if n <= pollsAtFirst {
		return poll
	}
	return seldom(poll)
}

// seldom is how often a refund is asked about that stands still.
func seldom(poll time.Duration) time.Duration { return 30 * poll }

// backoff is the wait after the n-th unknown outcome in a row (from 1).
func backoff(n int, first time.Duration) time.Duration {
	return doubled(first, n, backoffAtMost*first)
}

// byNumber gives the attempts in their order.
func byNumber(attempts []pay.Attempt) []pay.Attempt {
	return slices.SortedFunc(slices.Values(attempts), func(a, b pay.Attempt) int { return a.Number - b.Number })
}

func latest(attempts []pay.Attempt) (pay.Attempt, bool) {
	sorted := byNumber(attempts)
	if len(sorted) == 0 {
		return pay.Attempt{}, false
	}
	return sorted[len(sorted)-1], true
}

// unknownInARow counts the latest attempts whose outcome is not known.
func unknownInARow(attempts []pay.Attempt) int {
	n := 0
	for _, a := range slices.Backward(byNumber(attempts)) {
		if a.Outcome != pay.AttemptUnknown {
			break
		}
		n++
	}
	return n
}

// maySend says whether the stored bytes may go out (again) without a question
// first. One that nobody came back from, that was accepted, or that was
// rejected for good must be asked about.
func maySend(attempts []pay.Attempt) bool {
	last, there := latest(attempts)
	switch {
	case !there:
		return true
	case last.FinishedAt.IsZero():
		return false
	}
	return last.Outcome != pay.AttemptAccepted && last.Outcome != pay.AttemptRejected
}

// quarantineEnds is when the last attempt of unknown outcome stops keeping the
// refund from failing.
func quarantineEnds(attempts []pay.Attempt, quarantine time.Duration) time.Time {
	var end time.Time
	for _, a := range attempts {
		if until := a.StartedAt.Add(quarantine); a.Outcome == pay.AttemptUnknown && until.After(end) {
			end = until
		}
	}
	return end
}

// errorCost is what a refused refund costs beyond its own token.
func errorCost(perSecond int) int {
	return (perSecond+errorsAllowed-1)/errorsAllowed - 1
}

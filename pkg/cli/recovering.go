package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// recoverPause follows a step that somebody else is at, or that could not be
	// made; recoverPatience is how long the latter may last: a worker that is
	// started again, a broker or WeChat Pay that comes back.
	recoverPause    = time.Second
	recoverPatience = time.Minute
)

// runRecovery makes one step after the other until there is none left, or until
// it is stopped.
func (c *commandLine) runRecovery(ctx context.Context, api remote, q operatorapi.RecoverJSONRequestBody) (answer, error) {
	shown := c.recovering()
	defer shown.end()
	var last *operatorapi.Recovery
	var raw json.RawMessage
	var failing time.Time
	for {
		r, document, err := document[operatorapi.Recovery](api.ask(ctx)(operatorapi.NewRecoverRequest(api.base(), q)))
		switch {
		case ctx.Err() != nil && last != nil: // somebody stopped it, and it stands where it stood
			shown.end()
			return answer{document: raw, text: c.recoveredText(last), exit: problem.ExitUnavailable}, nil
		case err == nil:
			last, raw, failing, q.RecoveryID = &r, document, time.Time{}, &r.RecoveryID
			shown.at(&r)
			if r.Phase == operatorapi.RecoveryPhase(pay.RecoveryDone) {
				shown.end()
				return answer{document: raw, text: c.recoveredText(last), exit: exitOf(last)}, nil
			}
			if !r.Busy {
				continue
			}
		case problem.KindOf(err) == problem.Refused && q.RecoveryID != nil:
			q.RecoveryID = nil // given up: for one that covers more, or because the database was started anew
		case !mayPass(err), !failing.IsZero() && time.Since(failing) > recoverPatience:
			return answer{}, err
		case failing.IsZero():
			failing = time.Now()
			c.tell("It waits: " + problem.Text(err) + "\n")
		}
		rested(ctx, recoverPause)
	}
}

func exitOf(r *operatorapi.Recovery) int {
	if r.Counts.Problems > 0 {
		return problem.ExitRefused
	}
	return problem.ExitOK
}

// mayPass says whether the same request may work in a moment.
func mayPass(err error) bool {
	switch problem.KindOf(err) {
	case problem.Unavailable, problem.NoWorker, problem.DatabaseUnavailable, problem.BrokerUnavailable, problem.Unhealthy, problem.TooManyRequests:
		return true
	default:
		return false
	}
}

// shownRecovery tells people how far a recovery is.
type shownRecovery interface {
	at(r *operatorapi.Recovery)
	end() // may be called twice
}

// recovering is a bar at a terminal and lines elsewhere; a program that wants a
// document is told nothing.
func (c *commandLine) recovering() shownRecovery {
	switch {
	case c.json:
		return silentRecovery{}
	case c.Terminal:
		return &recoveryBar{c: c}
	}
	return recoveryLines{c}
}

type silentRecovery struct{}

func (silentRecovery) at(*operatorapi.Recovery) {}
func (silentRecovery) end()                     {}

type recoveryLines struct{ c *commandLine }

func (l recoveryLines) at(r *operatorapi.Recovery) {
	done, total := messagesOf(r)
	l.c.tell(fmt.Sprintf("%d of %d messages: %s\n", done, total, stageOf(r)))
}
func (recoveryLines) end() {}

type recoveryBar struct {
	c   *commandLine
	bar *bar // nil before the first answer: the whole is not known
}

func (b *recoveryBar) at(r *operatorapi.Recovery) {
	done, total := messagesOf(r)
	if b.bar == nil {
		b.bar = b.c.bar(stageOf(r), total)
	}
	b.bar.tracker.UpdateMessage(stageOf(r))
	b.bar.tracker.SetValue(int64(done))
}

func (b *recoveryBar) end() {
	if b.bar != nil {
		b.bar.end()
	}
}

func messagesOf(r *operatorapi.Recovery) (done, total int) {
	p := r.Progress
	for _, part := range []operatorapi.RecoveryPart{p.Events, p.Notifications, p.Commands, p.Orders} {
		done, total = done+int(part.Done), total+int(part.Total)
	}
	return done, total
}

func stageOf(r *operatorapi.Recovery) string {
	if r.Phase == operatorapi.RecoveryPhase(pay.RecoveryDone) {
		return "done"
	}
	return "at the " + string(r.Phase)
}

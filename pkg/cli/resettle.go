package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// laneChunk is how many notifications are on the lane for this command at a time.
const laneChunk = 100

// resettled is what became of archived notifications: the document of --json.
type resettled struct {
	Requested  int          `json:"requested"`
	Settled    int          `json:"settled"`
	Open       []openLetter `json:"open"`                  // dead letters now, and why
	Waiting    []string     `json:"waiting"`               // for their order, or on the lane still
	PassedOver []string     `json:"passed_over,omitempty"` // discarded, or no notification
	NotBegun   int          `json:"not_begun"`
	GoOnSince  string       `json:"go_on_since,omitempty"` // the arrival of the first that was not asked for

	named bool // one by one: whoever named them meant each
}

func newResettled() *resettled { return &resettled{Open: []openLetter{}, Waiting: []string{}} }

func (r *resettled) begun() int { return r.Requested }
func (r *resettled) atEnd() int { return r.Requested - len(r.Waiting) }

func (r *resettled) states() string {
	parts := []string{fmt.Sprintf("%d settled", r.Settled), counted(len(r.Open), "dead letter"), fmt.Sprintf("%d waiting", len(r.Waiting))}
	if n := len(r.PassedOver); n > 0 {
		parts = append(parts, fmt.Sprintf("%d passed over", n))
	}
	return strings.Join(parts, ", ")
}

func (r *resettled) exit() int {
	switch {
	case len(r.Open) > 0 || r.named && len(r.PassedOver) > 0:
		return problem.ExitRefused
	case len(r.Waiting) > 0 || r.NotBegun > 0:
		return problem.ExitUnavailable
	}
	return problem.ExitOK
}

// resettle puts notifications on the lane, chunk by chunk, and waits for the lane
// before the next: it can be stopped between any two.
func (c *commandLine) resettle(ctx context.Context, api remote, p picked, why string) (answer, error) {
	r := newResettled()
	r.named = !p.chosen
	shown := c.progress("replaying", len(p.ids))
	defer shown.end()
	var failed error
	asked := 0
	for chunk := range slices.Chunk(p.ids, laneChunk) {
		if ctx.Err() != nil || failed != nil {
			break
		}
		var sent bool
		sent, failed = c.resettleChunk(ctx, api, chunk, why, r)
		if sent {
			asked += len(chunk)
			shown.chunk(r)
		}
	}
	shown.end()
	if r.NotBegun = len(p.ids) - asked; r.NotBegun > 0 && p.chosen {
		r.GoOnSince = arrivedAt(p.ids[asked]).Format(time.RFC3339Nano)
	}
	more := ""
	if p.chosen && r.NotBegun == 0 && p.total > len(p.ids) {
		r.GoOnSince = arrivedAt(p.ids[len(p.ids)-1]).Format(time.RFC3339Nano)
		more = "There are more: go on with --since " + r.GoOnSince + "\n"
	}
	text := c.resettledText(r) + more
	if failed != nil && ctx.Err() == nil {
		if asked == 0 {
			return answer{}, failed
		}
		return answer{}, &partial{err: failed, document: r, text: text}
	}
	return answer{document: r, text: text, exit: r.exit()}, nil
}

// resettleChunk says whether the chunk may be on the lane. Without an error, it is
// settled.
func (c *commandLine) resettleChunk(ctx context.Context, api remote, chunk []operatorapi.DeliveryID, why string, r *resettled) (sent bool, err error) {
	done, _, err := document[operatorapi.Republished](api.ask(ctx)(operatorapi.NewReplayNotificationsRequest(api.base(), operatorapi.ReplayNotificationsJSONRequestBody{DeliveryIds: chunk, Reason: why})))
	if err != nil {
		if ctx.Err() == nil && !undecided(err) {
			return false, err
		}
		r.wait(chunk)
		return true, err
	}
	for _, id := range chunk {
		if !slices.Contains(done.DeliveryIds, id) {
			r.PassedOver = append(r.PassedOver, id.String())
		}
	}
	through, err := api.followLane(ctx, done.Position)
	if err != nil || !through {
		r.wait(done.DeliveryIds)
		r.Requested += len(chunk) - len(done.DeliveryIds)
		if err == nil && ctx.Err() == nil {
			err = laneStands()
		}
		return true, err
	}
	return true, r.look(ctx, api, chunk, done.DeliveryIds)
}

func laneStands() error {
	e := problem.Newf(problem.Unavailable, "the replay lane did not come through within %s", followFor)
	e.NextStep = "What is on the lane is settled by itself where a worker runs: look whether one does (`fenflow status`), then go on."
	return e
}

// wait counts notifications of which nobody knows yet.
func (r *resettled) wait(ids []operatorapi.DeliveryID) {
	r.Requested += len(ids)
	for _, id := range ids {
		r.Waiting = append(r.Waiting, id.String())
	}
}

// look counts what the lane is through with: whatever has no letter is settled.
func (r *resettled) look(ctx context.Context, api remote, chunk, sent []operatorapi.DeliveryID) error {
	letters, err := api.look(ctx, sent)
	if err != nil {
		r.wait(sent)
		r.Requested += len(chunk) - len(sent)
		return err
	}
	r.Requested += len(chunk)
	unsettled := 0
	for _, l := range letters {
		switch pay.LetterState(l.State) {
		case pay.LetterOpen:
			r.Open = append(r.Open, openLetter{l.DeliveryID, string(l.Reason), l.Detail})
		case pay.LetterWaiting, pay.LetterReplaying:
			r.Waiting = append(r.Waiting, l.DeliveryID)
		default:
			continue
		}
		unsettled++
	}
	r.Settled += len(sent) - unsettled
	return nil
}

// followLane waits until the lane is through with everything up to a position, for
// a minute in which it does not move at most.
func (api remote) followLane(ctx context.Context, position int64) (bool, error) {
	if position == 0 {
		return true, nil
	}
	over, at := time.NewTimer(followFor), int64(-1)
	defer over.Stop()
	for pause := firstLookIn; ; pause = min(2*pause, maxLookIn) {
		lane, _, err := document[operatorapi.ReplayLane](api.ask(ctx)(operatorapi.NewGetReplayLaneRequest(api.base())))
		switch {
		case ctx.Err() != nil:
			return false, nil
		case err != nil && !passing(err):
			return false, err
		case err == nil && lane.Acknowledged >= position:
			return true, nil
		case err == nil && lane.Acknowledged != at:
			at = lane.Acknowledged
			over.Reset(followFor)
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-over.C:
			again.Stop()
			return false, nil
		case <-ctx.Done():
			again.Stop()
			return false, nil
		}
	}
}

func (c *commandLine) resettledText(r *resettled) string {
	text := counted(r.Requested, "notification") + ": " + r.states() + ".\n"
	if len(r.Open) > 0 {
		text += "\n" + c.grid([]string{"DEAD LETTERS", "COUNT", "FOR EXAMPLE", "DETAIL"}, causes(r.Open)...)
	}
	if len(r.PassedOver) > 0 {
		text += "\nPassed over: " + passedOver(r.PassedOver) + ". Nothing is replayed that is WeChat Pay's answer to a call of ours, or was discarded:\n`fenflow notification show ID` and `fenflow dead-letter show ID` tell which.\n"
	}
	if len(r.Waiting) > 0 {
		text += "\nWhat waits goes on by itself where a worker runs: `fenflow dead-letter ls --state waiting` shows what waits for its order.\n"
	}
	if r.NotBegun > 0 {
		text += "\nStopped; " + counted(r.NotBegun, "notification") + " more had not been asked for."
		if r.GoOnSince != "" {
			text += " Go on with --since " + r.GoOnSince
		}
		text += "\n"
	}
	return text
}

// maxPassedOverTold is as many as a person reads; --json tells all.
const maxPassedOverTold = 3

func passedOver(ids []string) string {
	if more := len(ids) - maxPassedOverTold; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:maxPassedOverTold], ", "), more)
	}
	return strings.Join(ids, ", ")
}

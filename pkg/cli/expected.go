package cli

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// How often a chunk is tried whose rows somebody else holds.
const (
	busyTries = 5
	busyPause = time.Second
)

// expected is a replay of what a dry run showed: the document of --json.
type expected struct {
	rehearsal

	LeftAlone []string `json:"left_alone"` // busy or refused in the dry run
	NotBegun  int      `json:"not_begun"`
}

// replayExpected replays exactly what a dry run showed, chunk by chunk, and stops
// before the first whose orders are not as they were. What was done before stays.
func (c *commandLine) replayExpected(ctx context.Context, api remote, file, why string) (answer, error) {
	rows, err := c.seen(file)
	if err != nil {
		return answer{}, err
	}
	done := &expected{rehearsal: *newRehearsal(), LeftAlone: []string{}}
	var known []operatorapi.Rehearsed
	for _, row := range rows {
		if row.Outcome == operatorapi.RehearsedOutcome(pay.OutcomeBusy) || row.Outcome == operatorapi.RehearsedOutcome(pay.OutcomeRefused) {
			done.LeftAlone = append(done.LeftAlone, row.DeliveryID)
			continue
		}
		known = append(known, row)
	}
	c.tell("Replaying " + counted(len(known), "message") + " as rehearsed.\n")
	shown := c.progress("replaying", len(known))
	defer shown.end()
	left := map[string]int64{} // the sequences that we left behind
	for n, chunk := range portions(known) {
		if ctx.Err() != nil {
			done.NotBegun += len(chunk)
			continue
		}
		if err := c.replayChunk(ctx, api, chunk, left, why, done); err != nil {
			shown.end()
			for _, rest := range portions(known)[n:] {
				done.NotBegun += len(rest)
			}
			return answer{}, &partial{err: err, document: done, text: c.expectedText(done)}
		}
		shown.chunk(&done.rehearsal)
	}
	shown.end()
	return answer{document: done, text: c.expectedText(done), exit: done.exit()}, nil
}

// exit is that of a replay without a dry run: what is a letter still was refused.
func (e *expected) exit() int {
	switch {
	case e.Totals.Lettered > 0:
		return problem.ExitRefused
	case len(e.LeftAlone) > 0 || e.NotBegun > 0:
		return problem.ExitUnavailable
	}
	return problem.ExitOK
}

func (c *commandLine) replayChunk(ctx context.Context, api remote, chunk []operatorapi.Rehearsed, left map[string]int64, why string, done *expected) error {
	body := operatorapi.ReplayRehearsedJSONRequestBody{Orders: []operatorapi.ExpectedOrder{}, Reason: why}
	asked := map[string]bool{}
	for _, row := range chunk {
		id, err := parseDeliveryID(row.DeliveryID)
		if err != nil {
			return err
		}
		body.DeliveryIds = append(body.DeliveryIds, id)
		order := orderOf(row)
		if order == "" || asked[order] {
			continue
		}
		asked[order] = true
		sequence, ours := left[order]
		if !ours {
			sequence = value(row.Order.Sequence)
		}
		body.Orders = append(body.Orders, operatorapi.ExpectedOrder{Mchid: row.Order.Mchid, OutTradeNo: row.Order.OutTradeNo, Sequence: sequence})
	}
	raw, err := untilFree(ctx, func() (json.RawMessage, error) {
		return api.ask(ctx)(operatorapi.NewReplayRehearsedRequest(api.base(), body))
	})
	if err != nil {
		return err
	}
	before := len(done.rows)
	if err := done.add(raw); err != nil {
		return err
	}
	for _, row := range done.rows[before:] {
		if row.Order != nil {
			left[orderOf(row)] = value(row.Order.SequenceAfter)
		}
	}
	return nil
}

// untilFree tries again while somebody else holds the rows: nothing was done then.
func untilFree(ctx context.Context, ask func() (json.RawMessage, error)) (json.RawMessage, error) {
	for tries := 1; ; tries++ {
		raw, err := ask()
		var refused *refusal
		if tries == busyTries || !errors.As(err, &refused) || refused.problem.Kind != problem.RowsBusy {
			return raw, err
		}
		if !rested(ctx, busyPause) {
			return nil, err
		}
	}
}

func (c *commandLine) expectedText(done *expected) string {
	text := "Nothing was replayed.\n"
	if len(done.rows) > 0 {
		text = counted(len(done.rows), "message") + " replayed.\n\n" + c.changesText(&done.rehearsal)
	}
	if n := len(done.LeftAlone); n > 0 {
		text += "\nLeft alone: " + counted(n, "message") + " that the dry run could not tell of (busy or refused). Run a dry run of them again.\n"
	}
	if done.NotBegun > 0 {
		text += "\nStopped; " + counted(done.NotBegun, "message") + " more had not been begun. Run a dry run of them again.\n"
	}
	return text
}

package cli

import (
	"context"
	"slices"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// replay replays letters in chunks and follows each chunk before the next one
// begins. Where it is stopped, what was asked for is told all the same.
func (c *commandLine) replay(ctx context.Context, api remote, letters []operatorapi.Letter, why string) (answer, error) {
	r := &replaying{api: api, why: why, became: newReplayed()}
	shown := c.progress("replaying", len(letters))
	defer shown.end()
	f := follower{look: api.look, told: func(now []followed) { shown.at(r.became.with(now)) }}
	asked := 0
	for chunk := range slices.Chunk(letters, replayChunk) {
		if ctx.Err() != nil {
			break
		}
		begun, err := r.begin(ctx, chunk)
		if err == nil {
			err = f.follow(ctx, begun)
		} else if ctx.Err() == nil && !undecided(err) {
			begun = nil // none of the chunk
		}
		r.became.add(begun)
		asked += len(begun)
		if err != nil && ctx.Err() == nil {
			shown.end()
			if asked == 0 {
				return answer{}, err
			}
			r.became.stop(len(letters) - asked)
			return answer{}, &partial{err: err, document: r.became, text: c.replayedText(r.became)}
		}
		shown.chunk(r.became)
	}
	shown.end()
	if ctx.Err() != nil {
		r.became.stop(len(letters) - asked)
	}
	return answer{document: r.became, text: c.replayedText(r.became), exit: r.became.exit()}, nil
}

// undecided says whether something that failed may have been done all the same.
func undecided(err error) bool {
	switch problem.KindOf(err) {
	case problem.Unhealthy, problem.Unavailable, problem.Internal, problem.DatabaseUnavailable, problem.NoWorker, problem.BrokerUnavailable:
		return true
	default:
		return false
	}
}

type replaying struct {
	api    remote
	why    string
	became *replayed
}

// begin has a chunk replayed. Where the answer is lost, it may have been.
func (r *replaying) begin(ctx context.Context, chunk []operatorapi.Letter) ([]followed, error) {
	all := make([]followed, 0, len(chunk))
	var ids []operatorapi.DeliveryID
	for _, l := range chunk {
		id, err := parseDeliveryID(l.DeliveryID)
		if err != nil {
			return nil, err
		}
		one := followed{id: id, letter: l, before: l.Attempts, ended: l.State == operatorapi.LetterState(pay.LetterResolved)}
		all = append(all, one)
		if !one.ended {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return all, nil
	}
	done, _, err := document[operatorapi.Replay](r.api.ask(ctx)(operatorapi.NewReplayDeadLettersRequest(r.api.base(), operatorapi.ReplayDeadLettersJSONRequestBody{DeliveryIds: &ids, Reason: r.why})))
	if err != nil {
		return all, err
	}
	for i := range all {
		if slices.Contains(done.DeliveryIds, all[i].id) {
			all[i].replayed, all[i].letter.State = true, operatorapi.LetterState(pay.LetterWaiting)
		}
	}
	return all, nil
}

package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/replay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// around is all that a Service leans on; each part fails as it is told to.
type around struct {
	kept                     map[pay.DeliveryID]pay.Stored
	archive, settler, broken error
	hold                     chan struct{} // nil: rehearsals end at once
	recorded, published      int
}

func (a *around) FindStored(context.Context, []pay.DeliveryID) (map[pay.DeliveryID]pay.Stored, error) {
	return a.kept, a.archive
}

func (a *around) RecordReplay(_ context.Context, deliveries []pay.Delivery, _, _ string) error {
	a.recorded += len(deliveries)
	return a.archive
}

func (a *around) Rehearse(_ context.Context, arrivals []wechatpay.Arrival) ([]pay.Effect, error) {
	if a.hold != nil {
		<-a.hold
	}
	return make([]pay.Effect, len(arrivals)), a.settler
}

func (a *around) SettleExpected(_ context.Context, arrivals []wechatpay.Arrival, _ pay.ReplayAct) ([]pay.Effect, error) {
	return make([]pay.Effect, len(arrivals)), a.settler
}

func (a *around) PublishReplays(_ context.Context, envelopes []wechatpay.Envelope) (uint64, error) {
	a.published += len(envelopes)
	return 7, a.broken
}

func (a *around) ReplayLane(context.Context) (pay.Lane, error) { return pay.Lane{}, a.broken }

func (a *around) service() *replay.Service {
	return replay.New(replay.Options{
		Archive: a, Settler: a, Lane: a, Log: slog.New(slog.DiscardHandler),
		Retryable: func(err error) bool { return strings.Contains(err.Error(), "away") },
	})
}

func keeping(n int) (kept map[pay.DeliveryID]pay.Stored, question []byte) {
	kept = map[pay.DeliveryID]pay.Stored{}
	var ids []string
	for range n {
		id := pay.DeliveryID(uuid.NewString())
		kept[id] = pay.Stored{Delivery: pay.Delivery{ID: id, Kind: pay.DeliveryNotifyV3}}
		ids = append(ids, string(id))
	}
	question, _ = json.Marshal(map[string]any{"delivery_ids": ids, "orders": []any{}, "actor": "token:me", "reason": "x"})
	return kept, question
}

// code is what an answer says went wrong; empty: nothing.
func code(t *testing.T, raw []byte, err error) string {
	t.Helper()
	require.NoError(t, err)
	_, refused := problem.ReadAnswer(raw)
	if refused == nil {
		return ""
	}
	return problem.KindOf(refused).Code()
}

func TestReplay_says_what_failed(t *testing.T) {
	t.Parallel()
	kept, question := keeping(1)
	_, many := keeping(51)
	key := pay.OrderKey{MchID: "1900000109", OutTradeNo: "T-1"}
	for name, row := range map[string]struct {
		around around
		asked  []byte
		codes  string // of rehearsing, replaying and republishing
	}{
		"nothing":       {around{kept: kept}, question, "//"},
		"not there":     {around{}, question, "FEN-3014/FEN-3014/FEN-3014"},
		"no ids":        {around{}, []byte(`{}`), "FEN-3001/FEN-3001/FEN-3001"},
		"too many":      {around{}, many, "FEN-3001/FEN-3001/FEN-3014"},
		"no UUID":       {around{}, []byte(`{"delivery_ids":["x"]}`), "FEN-3001/FEN-3001/FEN-3001"},
		"no question":   {around{}, []byte(`[]`), "FEN-3002/FEN-3002/FEN-3002"},
		"database away": {around{archive: errors.New("it is away")}, question, "FEN-5002/FEN-5002/FEN-5002"},
		"busy":          {around{kept: kept, settler: fmt.Errorf("x: %w", pay.ErrBusy)}, question, "FEN-4017/FEN-4017/"},
		"moved":         {around{kept: kept, settler: fmt.Errorf("x: %w", &pay.MovedError{Order: key, Expected: 1, Actual: 2})}, question, "FEN-4016/FEN-4016/"},
		"discarded":     {around{kept: kept, settler: &pay.DiscardedError{}}, question, "FEN-4013/FEN-4013/"},
		"a bug":         {around{kept: kept, settler: errors.New("x")}, question, "FEN-9001/FEN-9001/"},
		"broker away":   {around{kept: kept, broken: errors.New("x")}, question, "//FEN-5001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := row.around.service()
			var codes []string
			for _, act := range []func(context.Context, []byte) ([]byte, error){s.Rehearse, s.Replay, s.Republish} {
				raw, err := act(t.Context(), row.asked)
				codes = append(codes, code(t, raw, err))
			}
			require.Equal(t, row.codes, strings.Join(codes, "/"))
		})
	}
}

func TestReplay_is_written_down_before_it_is_on_the_lane(t *testing.T) {
	t.Parallel()
	kept, question := keeping(3)
	a := around{kept: kept, broken: errors.New("the broker is gone")}
	raw, err := a.service().Republish(t.Context(), question)
	require.Equal(t, "FEN-5001", code(t, raw, err))
	require.Equal(t, 3, a.recorded)
	raw, err = a.service().Follow(t.Context(), nil)
	require.Equal(t, "FEN-5001", code(t, raw, err))

	a = around{kept: kept, archive: errors.New("the audit log is away")}
	raw, err = a.service().Republish(t.Context(), question)
	require.Equal(t, "FEN-5002", code(t, raw, err))
	require.Zero(t, a.published, "what nobody is named for is not done")
}

func TestRehearsals_wait_for_their_turn_and_not_for_ever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept, question := keeping(1)
		a := around{kept: kept, hold: make(chan struct{})}
		s := a.service()
		type answer struct {
			raw []byte
			err error
		}
		answers := make(chan answer)
		next := func() string {
			a := <-answers
			return code(t, a.raw, a.err)
		}
		for range 3 {
			go func() {
				raw, err := s.Rehearse(context.Background(), question)
				answers <- answer{raw, err}
			}()
		}
		require.Equal(t, "FEN-4017", next(), "two hold the rows of their chunks; the third gives up")
		close(a.hold)
		require.Empty(t, next())
		require.Empty(t, next())
	})
}

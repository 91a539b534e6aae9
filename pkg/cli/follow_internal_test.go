package cli

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// began are letters that were replayed a moment ago.
func began(n int) []followed {
	letters := make([]followed, n)
	for i := range letters {
		id := operatorapi.DeliveryID{byte(i + 1)}
		letters[i] = followed{id: id, before: 1, replayed: true, letter: operatorapi.Letter{DeliveryID: id.String(), State: "waiting", Attempts: 1}}
	}
	return letters
}

// watched is a console at which letters become what change says after a while.
func watched(change func(since time.Duration, l *operatorapi.Letter) error) follower {
	begun := time.Now()
	return follower{told: func([]followed) {}, look: func(_ context.Context, ids []operatorapi.DeliveryID) ([]operatorapi.Letter, error) {
		var letters []operatorapi.Letter
		for _, id := range ids {
			l := operatorapi.Letter{DeliveryID: id.String(), State: "waiting", Attempts: 1}
			if err := change(time.Since(begun), &l); err != nil {
				return nil, err
			}
			letters = append(letters, l)
		}
		return letters, nil
	}}
}

func became(letters []followed) *replayed {
	r := newReplayed()
	r.add(letters)
	return r
}

func TestFollow_ends_with_the_last_letter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		letters, from := began(3), time.Now()
		err := watched(func(since time.Duration, l *operatorapi.Letter) error {
			switch {
			case since > 20*time.Second:
				l.State, l.Attempts, l.Reason = "open", 2, "mismatch"
			case since > time.Second && l.DeliveryID == letters[0].id.String():
				l.State = "resolved"
			default:
				l.State = "open" // for a moment, and untried
			}
			return nil
		}).follow(t.Context(), letters)
		require.NoError(t, err)
		require.Less(t, time.Since(from), 25*time.Second)
		r := became(letters)
		require.Equal(t, []int{1, 2, 0}, []int{r.Resolved, len(r.Open), len(r.Waiting)})
		require.Equal(t, problem.ExitRefused, r.exit())
	})
}

func TestFollow_gives_up_after_a_minute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		letters, from := began(2), time.Now()
		require.NoError(t, watched(func(_ time.Duration, l *operatorapi.Letter) error {
			if l.DeliveryID == letters[0].id.String() {
				l.State = "open"
			}
			return nil
		}).follow(t.Context(), letters))
		require.Equal(t, time.Minute, time.Since(from))
		r := became(letters)
		require.Equal(t, []int{0, 1, 1}, []int{r.Resolved, len(r.Open), len(r.Waiting)})
		require.Equal(t, problem.ExitUnavailable, became(letters[1:]).exit())
	})
}

func TestFollow_outlives_a_console_that_is_away_for_a_moment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		letters := began(1)
		require.NoError(t, watched(func(since time.Duration, l *operatorapi.Letter) error {
			if since < 30*time.Second {
				return problem.New(problem.Unhealthy, "restarting")
			}
			l.State = "resolved"
			return nil
		}).follow(t.Context(), letters))
		require.Equal(t, problem.ExitOK, became(letters).exit())

		letters = began(1)
		require.ErrorContains(t, watched(func(time.Duration, *operatorapi.Letter) error { return errors.New("what is this") }).follow(t.Context(), letters), "what is this")
	})
}

func TestFollow_stops_when_it_is_told_to(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		letters, from := began(1), time.Now()
		require.NoError(t, watched(func(time.Duration, *operatorapi.Letter) error { return nil }).follow(ctx, letters))
		require.Equal(t, 3*time.Second, time.Since(from))
		require.Len(t, became(letters).Waiting, 1)
	})
}

package wechat

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// pass lets time pass on the bubble's clock.
func pass(t *testing.T, span time.Duration) {
	t.Helper()
	require.NoError(t, wait(t.Context(), span))
}

func requireCalls(t *testing.T, source *issuer, calls, forced int) {
	t.Helper()
	gotCalls, gotForced := source.counted()
	require.Equal(t, [2]int{calls, forced}, [2]int{gotCalls, gotForced}, "calls for a token, and forced ones among them")
}

func TestAuthority_asks_once_for_all_callers_of_all_processes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{takes: time.Second}
		var wg sync.WaitGroup
		for _, holder := range []string{"a", "b", "c"} {
			a := newAuthority(t, shelf, source, holder)
			for range 50 {
				wg.Go(func() {
					token, err := a.AccessToken(t.Context(), testApp())
					require.NoError(t, err)
					require.Equal(t, "token-1", token.Reveal())
				})
			}
		}
		wg.Wait()
		requireCalls(t, source, 1, 0)
	})
}

func TestAuthority_looks_again_once_it_has_the_lease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{}
		faster := newAuthority(t, shelf, source, "a")
		slower := newAuthority(t, lateShelf{shelf, func() {
			_, err := faster.AccessToken(context.Background(), testApp())
			require.NoError(t, err)
		}}, source, "b")
		token, err := slower.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		require.Equal(t, "token-1", token.Reveal())
		requireCalls(t, source, 1, 0)
	})
}

func TestAuthority_refreshes_ahead_while_the_old_token_is_served(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{takes: time.Second}
		a := newAuthority(t, shelf, source, "a")
		get := func() string {
			began := time.Now()
			token, err := a.AccessToken(t.Context(), testApp())
			require.NoError(t, err)
			if calls, _ := source.counted(); calls > 1 {
				require.Zero(t, time.Since(began), "nobody waits")
			}
			return token.Reveal()
		}
		require.Equal(t, "token-1", get())
		reads := shelf.readsSoFar()
		pass(t, 2*time.Hour-5*time.Minute-2*time.Second)
		require.Equal(t, "token-1", get())
		require.Equal(t, reads, shelf.readsSoFar(), "what is remembered is not read again")

		pass(t, 3*time.Second)
		for range 20 {
			require.Equal(t, "token-1", get())
		}
		synctest.Wait()
		pass(t, 2*time.Second)
		require.Equal(t, "token-2", get())
		requireCalls(t, source, 2, 0)
	})
}

func TestAuthority_keeps_serving_while_a_refresh_ahead_fails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &issuer{}
		a := newAuthority(t, &memoryShelf{}, source, "a")
		_, err := a.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		pass(t, 2*time.Hour-4*time.Minute)
		source.failWith(&APIError{API: "stable_token", Class: ClassRetry})
		for range 60 {
			token, err := a.AccessToken(t.Context(), testApp())
			require.NoError(t, err)
			require.Equal(t, "token-1", token.Reveal())
			pass(t, time.Second)
		}
		requireCalls(t, source, 5, 0) // one attempt in 15 s
		pass(t, 4*time.Minute)
		_, err = a.AccessToken(t.Context(), testApp())
		require.Equal(t, ClassRetry, ClassOf(err), "and then it is told")
	})
}

func TestDo_replaces_a_refused_token_once_for_fifty_callers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &issuer{takes: time.Second}
		a := newAuthority(t, &memoryShelf{}, source, "a")
		_, err := a.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		source.revoke()
		var wg sync.WaitGroup
		var tried atomic.Int64
		for range 50 {
			wg.Go(func() {
				require.NoError(t, a.Do(t.Context(), testApp(), func(token merchant.Secret) error {
					tried.Add(1)
					return source.take(token)
				}))
			})
		}
		wg.Wait()
		requireCalls(t, source, 2, 1)
		require.EqualValues(t, 100, tried.Load(), "each once, and once more")
	})
}

func TestDo_takes_the_shelfs_token_where_another_process_was_faster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{}
		a, b := newAuthority(t, shelf, source, "a"), newAuthority(t, shelf, source, "b")
		for _, each := range []*Authority{a, b} {
			_, err := each.AccessToken(t.Context(), testApp())
			require.NoError(t, err)
		}
		source.revoke()
		for _, each := range []*Authority{a, b} {
			require.NoError(t, each.Do(t.Context(), testApp(), source.take))
		}
		requireCalls(t, source, 2, 1)
	})
}

func TestDo_forces_at_most_each_thirty_seconds_and_twenty_times_a_day(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{}
		a := newAuthority(t, shelf, source, "a")
		require.NoError(t, a.Do(t.Context(), testApp(), source.take))
		source.revoke()
		require.NoError(t, a.Do(t.Context(), testApp(), source.take))
		requireCalls(t, source, 2, 1)

		never := func(merchant.Secret) error { return &APIError{API: "any", Class: ClassToken} }
		for range 1000 { // WeChat refuses whatever it gives
			err := newAuthority(t, shelf, source, "b").Do(t.Context(), testApp(), never)
			require.Equal(t, ClassToken, ClassOf(err))
			pass(t, time.Second)
		}
		_, forced := source.counted()
		require.Equal(t, 20, forced)
		pass(t, 24*time.Hour)
		require.Equal(t, ClassToken, ClassOf(a.Do(t.Context(), testApp(), never)))
		_, forced = source.counted()
		require.Equal(t, 21, forced, "a new day")
		require.Equal(t, ClassToken, ClassOf(a.Do(t.Context(), testApp(), never)))
		require.Equal(t, 21, source.forced)
	})
}

// A worker that dies in mid-force must not make the next one force again.
func TestDo_counts_a_forced_token_before_it_asks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{}
		a := newAuthority(t, shelf, source, "a")
		require.NoError(t, a.Do(t.Context(), testApp(), source.take))
		source.revoke()
		source.failWith(&APIError{API: "stable_token", Class: ClassRetry})
		require.Equal(t, ClassRetry, ClassOf(a.Do(t.Context(), testApp(), source.take)))
		source.failWith(nil)
		require.NoError(t, newAuthority(t, shelf, source, "b").Do(t.Context(), testApp(), source.take))
		requireCalls(t, source, 3, 0) // WeChat's current token was another one already
	})
}

func TestTicket_outlives_a_new_access_token_and_replaces_a_refused_one(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{}
		a := newAuthority(t, shelf, source, "a")
		ticket, err := a.Ticket(t.Context(), testApp())
		require.NoError(t, err)
		require.Equal(t, "ticket-1", ticket.Reveal())
		source.revoke()
		require.NoError(t, a.Do(t.Context(), testApp(), source.take))
		ticket, err = newAuthority(t, shelf, source, "b").Ticket(t.Context(), testApp())
		require.NoError(t, err)
		require.Equal(t, "ticket-1", ticket.Reveal())

		source.revoke()
		pass(t, 3*time.Hour)
		ticket, err = a.Ticket(t.Context(), testApp())
		require.NoError(t, err)
		require.Equal(t, "ticket-2", ticket.Reveal())
	})
}

func TestAuthority_stores_nothing_under_a_lease_that_was_lost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{hold: make(chan struct{})}
		resume := source.hold
		paused, other := newAuthority(t, shelf, source, "a"), newAuthority(t, shelf, source, "b")
		answered := make(chan string, 1)
		go func() {
			token, _ := paused.AccessToken(t.Context(), testApp())
			answered <- token.Reveal()
		}()
		synctest.Wait()
		began := time.Now()
		token, err := other.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		require.Equal(t, "token-1", token.Reveal())
		require.InDelta(t, defaultLease, time.Since(began), float64(2*waitStep), "it waits for the lease of the paused one")
		row := shelf.row(testAppID, KindAccessToken).token
		close(resume)
		require.Equal(t, "token-1", <-answered)
		require.Equal(t, row, shelf.row(testAppID, KindAccessToken).token, "the old fence overwrites nothing")
		require.EqualValues(t, 2, shelf.row(testAppID, KindAccessToken).fence)
	})
}

func TestAuthority_takes_an_unreadable_row_for_absent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &memoryShelf{}, &issuer{}
		a := newAuthority(t, shelf, source, "a")
		_, err := a.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		renewed := newAuthority(t, shelf, source, "b")
		renewed.sealer = newSealer(t, 2) // the session key was changed
		_, err = renewed.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		requireCalls(t, source, 2, 0)
	})
}

func TestAuthority_does_not_repeat_a_lasting_refusal_for_five_seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &issuer{fails: &APIError{API: "stable_token", Code: codeSecret, Class: ClassSecret}}
		a := newAuthority(t, &memoryShelf{}, source, "a")
		for range 100 {
			_, err := a.AccessToken(t.Context(), testApp())
			require.Equal(t, ClassSecret, ClassOf(err))
		}
		requireCalls(t, source, 1, 0)
		pass(t, refusalKept)
		source.failWith(nil)
		_, err := a.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
	})
}

func TestAuthority_goes_on_for_others_when_one_caller_gives_up(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &issuer{takes: 2 * time.Second}
		a := newAuthority(t, &memoryShelf{}, source, "a")
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gaveUp := make(chan error, 1)
		go func() {
			_, err := a.AccessToken(impatient, testApp())
			gaveUp <- err
		}()
		synctest.Wait()
		token, err := a.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		require.Equal(t, "token-1", token.Reveal())
		err = <-gaveUp
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, problem.WeChatUnavailable, problem.KindOf(Problem(err)), "whoever comes again gets it")
		requireCalls(t, source, 1, 0)
	})
}

func TestAuthority_begins_nothing_once_it_is_closed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &issuer{takes: time.Second}
		a := newAuthority(t, &memoryShelf{}, source, "a")
		go func() { _, _ = a.AccessToken(t.Context(), testApp()) }()
		synctest.Wait()
		a.Close() // waits for what is under way
		require.Equal(t, "token-1", source.token.Value.Reveal())
		_, err := a.Ticket(t.Context(), testApp())
		require.ErrorIs(t, err, errClosed)
		require.Equal(t, ClassRetry, ClassOf(err), "another worker has it")
	})
}

// brokenShelf is one whose database goes away.
type brokenShelf struct {
	*memoryShelf
	away error
}

func (s *brokenShelf) Token(ctx context.Context, appid pay.AppID, kind string) (pay.SealedToken, bool, error) {
	if s.away != nil {
		return pay.SealedToken{}, false, s.away
	}
	return s.memoryShelf.Token(ctx, appid, kind)
}

func TestAuthority_gives_what_it_remembers_while_the_shelf_is_away(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, source := &brokenShelf{memoryShelf: &memoryShelf{}}, &issuer{}
		a := newAuthority(t, shelf, source, "a")
		_, err := a.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		shelf.away = errors.New("no connection")
		pass(t, 2*time.Hour-time.Second)
		token, err := a.AccessToken(t.Context(), testApp())
		require.NoError(t, err)
		require.Equal(t, "token-1", token.Reveal())
		pass(t, time.Second)
		_, err = a.AccessToken(t.Context(), testApp())
		require.ErrorIs(t, err, shelf.away)
		require.Equal(t, problem.DatabaseUnavailable, problem.KindOf(Problem(err)), "WeChat is not to blame")
		requireCalls(t, source, 1, 0)
	})
}

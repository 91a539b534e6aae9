package wechat

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// awayShelf is a database that is away.
type awayShelf struct{ *memoryShelf }

func (awayShelf) Token(context.Context, pay.AppID, string) (pay.SealedToken, bool, error) {
	return pay.SealedToken{}, false, errors.New("no connection")
}

func TestAuthority_says_that_the_database_is_away(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, awayShelf{&memoryShelf{}}, &issuer{}, "a")
		_, err := a.Ticket(t.Context(), testApp())
		require.Equal(t, problem.DatabaseUnavailable, problem.KindOf(Problem(err)), "%v", err)
	})
}

func TestAuthority_that_ends_does_not_wait_for_another_process(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf := &memoryShelf{}
		_, taken, err := shelf.LeaseToken(t.Context(), testAppID, KindAccessToken, "died", time.Now(), time.Hour)
		require.NoError(t, err)
		require.True(t, taken)
		a := newAuthority(t, shelf, &issuer{}, "a")
		told := make(chan error, 1)
		go func() {
			_, err := a.AccessToken(t.Context(), testApp())
			told <- err
		}()
		synctest.Wait()
		began := time.Now()
		a.Close()
		require.LessOrEqual(t, time.Since(began), waitStep)
		require.ErrorIs(t, <-told, errClosed)
	})
}

func TestAuthority_tells_whoever_waited_in_vain_to_come_again(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf := &memoryShelf{}
		_, _, err := shelf.LeaseToken(t.Context(), testAppID, KindAccessToken, "slow", time.Now(), time.Hour)
		require.NoError(t, err)
		a := newAuthority(t, shelf, &issuer{}, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, patience := range []context.Context{ctx, t.Context()} { // the caller's, and the authority's own
			_, err := a.AccessToken(patience, testApp())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, problem.WeChatUnavailable, problem.KindOf(Problem(err)))
		}
	})
}

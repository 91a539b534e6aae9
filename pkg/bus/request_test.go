package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (w world) serve(t testing.TB, b *Bus, subject string, handle func(context.Context, []byte) ([]byte, error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx, subject, handle) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}

func TestRequest_is_answered_by_the_worker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.notify.Request(t.Context(), RequestVerifyV2, nil, soon)
	require.ErrorIs(t, err, ErrUnavailable, "nobody serves it, and that is known at once")
	w.serve(t, w.worker, RequestVerifyV2, func(_ context.Context, data []byte) ([]byte, error) {
		switch string(data) {
		case "fail":
			return nil, errors.New("no such merchant")
		case "panic":
			panic("hostile bytes")
		}
		return append([]byte("seen "), data...), nil
	})
	require.Eventually(t, func() bool {
		answer, err := w.notify.Request(t.Context(), RequestVerifyV2, []byte("q"), soon)
		return err == nil && string(answer) == "seen q"
	}, soon, often)
	_, err = w.notify.Request(t.Context(), RequestVerifyV2, []byte("fail"), soon)
	require.ErrorIs(t, err, ErrRemote)
	require.ErrorContains(t, err, "no such merchant")
	_, err = w.notify.Request(t.Context(), RequestVerifyV2, []byte("panic"), soon)
	require.ErrorIs(t, err, ErrRemote)
	require.NotContains(t, err.Error(), "hostile")
	answer, err := w.notify.Request(t.Context(), RequestVerifyV2, []byte("again"), soon)
	require.NoError(t, err, "a panic ends one request only")
	require.Equal(t, "seen again", string(answer))
}

func TestRequest_gives_up_in_time(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	hold := make(chan struct{})
	began := make(chan struct{}, 10)
	w.serve(t, w.worker, RequestReadOrder, func(context.Context, []byte) ([]byte, error) {
		began <- struct{}{}
		<-hold
		return nil, nil
	})
	var err error
	require.Eventually(t, func() bool {
		_, err = api.Request(t.Context(), RequestReadOrder, nil, 50*time.Millisecond)
		return !errors.Is(err, ErrUnavailable)
	}, soon, often)
	require.ErrorIs(t, err, ErrSlow)
	<-began
	close(hold)
}

func TestServe_answers_nowhere_but_in_inboxes(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]bool{
		"_INBOX_api.x.y": true, "_R_.abc.def": true,
		"": false, "pay.event.1900000109.order.paid": false, "$JS.API.STREAM.PURGE.NOTIFY": false,
	} {
		require.Equal(t, want, isInbox(subject), subject)
	}
}

package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operatorapi"
)

// laneThat is a console whose lane has come so far after a while.
type laneThat func(since time.Duration) (status, acknowledged int)

func (l laneThat) at(begun time.Time) remote {
	return remote{url: "http://console", client: &http.Client{Transport: roundTrip(func() *http.Response {
		status, acknowledged := l(time.Since(begun))
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"acknowledged":%d,"waiting":1}`, acknowledged))),
		}
	})}}
}

type roundTrip func() *http.Response

func (r roundTrip) RoundTrip(*http.Request) (*http.Response, error) { return r(), nil }

func TestLane_is_followed_while_it_moves_and_a_minute_longer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		lane    laneThat
		through bool
		took    time.Duration
	}{
		"through at once": {func(time.Duration) (int, int) { return 200, 9 }, true, 0},
		"slow":            {func(since time.Duration) (int, int) { return 200, int(since / (50 * time.Second)) }, true, 450 * time.Second},
		"standing":        {func(time.Duration) (int, int) { return 200, 3 }, false, time.Minute},
		"away for a while": {func(since time.Duration) (int, int) {
			if since < 30*time.Second {
				return 503, 0
			}
			return 200, 9
		}, true, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				through, err := row.lane.at(begun).followLane(t.Context(), 9)
				require.NoError(t, err)
				require.Equal(t, row.through, through)
				require.InDelta(t, row.took.Seconds(), time.Since(begun).Seconds(), 3)
			})
		})
	}
}

func TestResettled_counts_each_notification_once(t *testing.T) {
	t.Parallel()
	r := newResettled()
	id := operatorapi.DeliveryID(bytes.Repeat([]byte{1}, 16))
	r.wait([]operatorapi.DeliveryID{id})
	r.PassedOver, r.Requested = []string{"x"}, r.Requested+1
	require.Equal(t, []int{2, 1}, []int{r.begun(), r.atEnd()})
	require.Equal(t, "0 settled, 0 dead letters, 1 waiting, 1 passed over", r.states())
}

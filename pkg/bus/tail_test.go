package bus

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// happen publishes events one by one: of merchant "1900000110" each tenth, of
// the other one all else; each third is a refund.
func (w world) happen(t *testing.T, from, to int) {
	t.Helper()
	var batch []pay.Outgoing
	for n := from; n <= to; n++ {
		e := pay.Outgoing{EventID: fmt.Sprintf("tail-%d", n), MchID: "1900000109", Fact: pay.FactOrderPaid, Payload: []byte(fmt.Sprintf(`{"n":%d}`, n))}
		if n%10 == 0 {
			e.MchID = "1900000110"
		}
		if n%3 == 0 {
			e.Fact = pay.FactRefundSucceeded
		}
		batch = append(batch, e)
	}
	_, err := w.worker.PublishEvents(t.Context(), batch)
	require.NoError(t, err)
}

func (w world) read(t *testing.T, q pay.EventQuery) pay.EventPage {
	t.Helper()
	page, err := w.worker.ReadEvents(t.Context(), q)
	require.NoError(t, err)
	return page
}

func sequences(p pay.EventPage) []int {
	all := []int{}
	for _, e := range p.Events {
		all = append(all, int(e.Sequence))
	}
	return all
}

func numbers(from, to int, pass func(int) bool) []int {
	all := []int{}
	for n := from; n <= to; n++ {
		if pass(n) {
			all = append(all, n)
		}
	}
	return all
}

func last(n int, all []int) []int { return all[max(len(all)-n, 0):] }

func TestReadEvents_gives_the_last_ones_of_whatever_is_asked_for(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Empty(t, w.read(t, pay.EventQuery{Latest: true, Limit: 5}).Events, "of an empty stream")
	const stored = 120
	w.happen(t, 1, stored)
	for name, c := range map[string]struct {
		q    pay.EventQuery
		pass func(int) bool
	}{
		"all":                          {pay.EventQuery{}, func(int) bool { return true }},
		"of one merchant":              {pay.EventQuery{MchID: "1900000109"}, func(n int) bool { return n%10 != 0 }},
		"of one that is seldom paid":   {pay.EventQuery{MchID: "1900000110"}, func(n int) bool { return n%10 == 0 }},
		"of one fact":                  {pay.EventQuery{Fact: pay.FactRefundSucceeded}, func(n int) bool { return n%3 == 0 }},
		"of one fact and merchant":     {pay.EventQuery{MchID: "1900000110", Fact: pay.FactRefundSucceeded}, func(n int) bool { return n%30 == 0 }},
		"of a fact that never was":     {pay.EventQuery{Fact: pay.FactOrderClosed}, func(int) bool { return false }},
		"of a merchant that never was": {pay.EventQuery{MchID: "1900000999"}, func(int) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, limit := range []int{1, 2, 7, 500} {
				c.q.Latest, c.q.Limit = true, limit
				page := w.read(t, c.q)
				require.Equal(t, last(limit, numbers(1, stored, c.pass)), sequences(page), "limit %d", limit)
				require.EqualValues(t, stored, page.Next)
				require.Empty(t, page.Gaps)
			}
		})
	}
}

func TestReadEvents_pages_forward_and_leaves_nothing_out(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.happen(t, 1, 40)
	q := pay.EventQuery{MchID: "1900000109", Limit: 7}
	var got []int
	for more := true; more; {
		page := w.read(t, q)
		got = append(got, sequences(page)...)
		q.After, q.Stream, more = page.Next, page.StreamMade, page.More
	}
	ofShop := func(n int) bool { return n%10 != 0 }
	require.Equal(t, numbers(1, 40, ofShop), got)
	require.Empty(t, w.read(t, q).Events, "nothing new")

	w.happen(t, 41, 60)
	q.Limit = 500
	page := w.read(t, q)
	require.Equal(t, numbers(41, 60, ofShop), sequences(page), "what came since")
	require.JSONEq(t, `{"n":41}`, string(page.Events[0].Payload))
	mchid, fact := FactOf(page.Events[0].Subject)
	require.Equal(t, "1900000109 order.paid", string(mchid)+" "+string(fact))
	list, err := w.worker.js.Stream(t.Context(), StreamEvent)
	require.NoError(t, err)
	for c := range list.ListConsumers(t.Context()).Info() {
		require.Equal(t, SubscriberConsumer, c.Name, "reading makes no consumer")
	}
}

func TestReadEvents_begins_at_an_instant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := time.Now()
	w.happen(t, 1, 9)
	all := w.read(t, pay.EventQuery{Since: before.Add(-time.Minute), Limit: 50})
	require.Equal(t, numbers(1, 9, func(int) bool { return true }), sequences(all))
	for _, e := range all.Events {
		page := w.read(t, pay.EventQuery{Since: e.StoredAt, Limit: 50})
		require.NotEmpty(t, page.Events)
		require.LessOrEqual(t, page.Events[0].Sequence, e.Sequence)
		require.False(t, page.Events[0].StoredAt.Before(e.StoredAt))
		require.Empty(t, page.Gaps)
	}
	require.Empty(t, w.read(t, pay.EventQuery{Since: time.Now().Add(time.Hour), Limit: 50}).Events)
}

func TestReadEvents_says_what_is_not_stored_any_more(t *testing.T) {
	t.Parallel()
	w, owner := newOwnedWorld(t)
	loose := w.worker.streamConfigs()[2] // as it is, but that events can be taken away
	loose.DenyPurge, loose.DenyDelete = false, false
	stream, err := owner.CreateStream(t.Context(), loose)
	require.NoError(t, err)
	w.happen(t, 1, 20)
	require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSequence(6)))
	page := w.read(t, pay.EventQuery{After: 1, Limit: 50})
	require.Equal(t, numbers(6, 20, func(int) bool { return true }), sequences(page))
	require.Equal(t, []pay.SequenceGap{{From: 2, To: 5}}, page.Gaps)
	require.Empty(t, w.read(t, pay.EventQuery{After: 5, Limit: 50}).Gaps, "nothing behind 5 is missing")
	page = w.read(t, pay.EventQuery{MchID: "1900000110", After: 0, Limit: 50})
	require.Equal(t, []pay.SequenceGap{{From: 1, To: 5}}, page.Gaps, "with a filter, too")
	page = w.read(t, pay.EventQuery{Since: time.Now().Add(-time.Hour), Limit: 50})
	require.Equal(t, []pay.SequenceGap{{From: 1, To: 5}}, page.Gaps, "they may have been of that hour")
	require.Equal(t, numbers(18, 20, func(int) bool { return true }), sequences(w.read(t, pay.EventQuery{Latest: true, Limit: 3})))

	for _, n := range []uint64{9, 10, 14} {
		require.NoError(t, stream.DeleteMsg(t.Context(), n))
	}
	page = w.read(t, pay.EventQuery{After: 6, Limit: 50})
	require.Equal(t, []pay.SequenceGap{{From: 9, To: 10}, {From: 14, To: 14}}, page.Gaps, "in the middle, too")
	require.Equal(t, []int{7, 8, 11, 12, 13, 15, 16, 17, 18, 19, 20}, sequences(page))
	require.NoError(t, stream.Purge(t.Context()))
	page = w.read(t, pay.EventQuery{After: 6, Limit: 50})
	require.Equal(t, []pay.SequenceGap{{From: 7, To: 20}}, page.Gaps, "all of it")
	require.EqualValues(t, 20, page.Next)
	require.Empty(t, w.read(t, pay.EventQuery{Latest: true, Limit: 3}).Events)
}

func TestReadEvents_notices_a_stream_that_was_made_anew(t *testing.T) {
	t.Parallel()
	w, owner := newOwnedWorld(t)
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	w.happen(t, 1, 20)
	before := w.read(t, pay.EventQuery{After: 15, Limit: 50})
	_, err := w.worker.ReadEvents(t.Context(), pay.EventQuery{After: 21, Limit: 50})
	var beyond *BeyondEndError
	require.ErrorAs(t, err, &beyond)
	require.EqualValues(t, 20, beyond.Last)

	require.NoError(t, owner.DeleteStream(t.Context(), StreamEvent))
	require.NoError(t, w.worker.EnsureStreams(t.Context()))
	w.happen(t, 101, 125) // further than before: only the stream's own age tells
	page := w.read(t, pay.EventQuery{After: before.Next, Stream: before.StreamMade, Limit: 50})
	require.True(t, page.Restarted)
	require.Equal(t, numbers(1, 25, func(int) bool { return true }), sequences(page), "from its first event on")
	page = w.read(t, pay.EventQuery{After: page.Next, Stream: page.StreamMade, Limit: 50})
	require.False(t, page.Restarted)
	require.Empty(t, page.Events)
}

func TestReadEvents_pages_end_before_they_outgrow_a_message(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := slices.Repeat([]byte("x"), 200<<10)
	for n := range 5 {
		_, err := w.worker.PublishEvents(t.Context(), []pay.Outgoing{{EventID: fmt.Sprintf("big-%d", n), MchID: "1900000109", Fact: pay.FactOrderPaid, Payload: big}})
		require.NoError(t, err)
	}
	page := w.read(t, pay.EventQuery{Limit: 50})
	require.Equal(t, []int{1, 2}, sequences(page))
	require.True(t, page.More)
	require.EqualValues(t, 2, page.Next)
	require.Equal(t, []int{4, 5}, sequences(w.read(t, pay.EventQuery{Latest: true, Limit: 50})))
}

// newOwnedWorld has one user more, who may do anything to the streams. No user
// of deploy/nats.conf may.
func newOwnedWorld(t *testing.T) (world, jetstream.JetStream) {
	t.Helper()
	file := ownConf(t, "")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	const users = "    users: [\n"
	require.Contains(t, string(text), users)
	owned := strings.Replace(string(text), users, users+"      {user: owner, password: pw-owner}\n", 1)
	require.NoError(t, os.WriteFile(file, []byte(owned), 0o600))
	w := world{server: broker(t, func(o *servers.NATSOptions) { o.ConfigFile = file })}
	w.worker = connect(t, w.server, "worker")
	js, err := jetstream.New(raw(t, w.server, "owner", nil))
	require.NoError(t, err)
	return w, js
}

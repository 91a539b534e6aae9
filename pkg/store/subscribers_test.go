package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// streamMade is when the stream of these tests was made.
var streamMade = time.Date(2026, 1, 1, 0, 0, 0, 123456000, time.UTC)

func nkey(c string) string { return "U" + strings.Repeat(c, 55) }

func subscriber(name, key string) pay.Subscriber {
	return pay.Subscriber{Name: pay.SubscriberName(name), MchID: shop, NKey: nkey(key), StreamAt: streamMade, StartsAfter: 7, CreatedBy: "token:ada"}
}

func (b *books) subscribed(name, key string) pay.Subscriber {
	b.t.Helper()
	s, outcome, err := b.AddSubscriber(b.t.Context(), subscriber(name, key), noon, "goes live")
	require.NoError(b.t, err)
	require.Equal(b.t, pay.SubscriberAdded, outcome)
	return s
}

func (b *books) removed(s pay.Subscriber) {
	b.t.Helper()
	removed, err := b.RemoveSubscriber(b.t.Context(), s.ID, "token:ada", "moved out", new(uint64(3)))
	require.NoError(b.t, err)
	require.True(b.t, removed)
}

func TestAddSubscriber_keeps_it_with_its_start_and_tells_the_audit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wish := subscriber("shop", "A")
	wish.Facts, wish.From = []pay.Fact{pay.FactRefundSucceeded, pay.FactOrderPaid, pay.FactOrderPaid}, noon
	added, outcome, err := b.AddSubscriber(t.Context(), wish, noon, "goes live")
	require.NoError(t, err)
	require.Equal(t, pay.SubscriberAdded, outcome)
	require.Equal(t, []pay.Fact{pay.FactOrderPaid, pay.FactRefundSucceeded}, added.Facts)
	require.Equal(t, noon, added.From)
	require.EqualValues(t, 7, added.StartsAfter)
	found, there, err := b.Subscriber(t.Context(), "shop")
	require.NoError(t, err)
	require.True(t, there)
	require.Equal(t, added, found)
	kept, there, err := b.KeptSubscriber(t.Context(), added.ID)
	require.NoError(t, err)
	require.True(t, there)
	require.Equal(t, added, kept.Subscriber)
	require.Equal(t, pay.AckSample{StreamAt: streamMade, Floor: 7, StoredAt: noon, At: kept.Last.At}, kept.Last)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE mchid = $1 AND actor = 'token:ada' AND action = 'subscriber.add' AND subject = 'shop'
		AND detail ->> 'reason' = 'goes live' AND detail ->> 'nkey' = $2 AND detail ->> 'facts' = 'order.paid,refund.succeeded'`, string(shop), wish.NKey))
}

func TestAddSubscriber_adds_the_same_wish_once_however_many_have_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	outcomes := make(chan pay.SubscriberOutcome, 8) // one each
	var all sync.WaitGroup
	for range cap(outcomes) {
		all.Go(func() {
			_, outcome, err := b.AddSubscriber(t.Context(), subscriber("shop", "A"), noon, "goes live")
			if err != nil {
				outcome = pay.SubscriberOutcome(err.Error())
			}
			outcomes <- outcome
		})
	}
	all.Wait()
	close(outcomes)
	counted := map[pay.SubscriberOutcome]int{}
	for o := range outcomes {
		counted[o]++
	}
	require.Equal(t, map[pay.SubscriberOutcome]int{pay.SubscriberAdded: 1, pay.SubscriberSame: 7}, counted)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'subscriber.add'`))
	for name, wish := range map[pay.SubscriberOutcome]pay.Subscriber{
		pay.SubscriberNameTaken: subscriber("shop", "B"), pay.SubscriberKeyTaken: subscriber("other", "A"),
	} {
		taken, outcome, err := b.AddSubscriber(t.Context(), wish, noon, "x")
		require.NoError(t, err)
		require.Equal(t, name, outcome)
		require.Equal(t, pay.SubscriberName("shop"), taken.Name)
	}
	merchants := subscriber("shop", "A")
	merchants.MchID = other
	_, outcome, err := b.AddSubscriber(t.Context(), merchants, noon, "x")
	require.NoError(t, err)
	require.Equal(t, pay.SubscriberNameTaken, outcome, "of another merchant it is another")
}

func TestRemoveSubscriber_frees_its_key_at_once_and_its_name_with_its_consumer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.subscribed("shop", "A")
	b.removed(first)
	again, err := b.RemoveSubscriber(t.Context(), first.ID, "token:ada", "x", nil)
	require.NoError(t, err)
	require.False(t, again)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'subscriber.remove' AND subject = 'shop' AND detail ->> 'unacknowledged' = '3'`))
	b.subscribed("other", "A")
	_, outcome, err := b.AddSubscriber(t.Context(), subscriber("shop", "B"), noon, "x")
	require.NoError(t, err)
	require.Equal(t, pay.SubscriberNameTaken, outcome, "its consumer is there still")
	found, there, err := b.Subscriber(t.Context(), "shop")
	require.NoError(t, err)
	require.True(t, there)
	require.False(t, found.RemovedAt.IsZero())

	require.NoError(t, b.SubscriberDropped(t.Context(), first.ID))
	_, there, err = b.KeptSubscriber(t.Context(), first.ID)
	require.NoError(t, err)
	require.False(t, there)
	second := b.subscribed("shop", "B")
	require.NotEqual(t, first.ID, second.ID)
	require.NoError(t, b.SubscriberDropped(t.Context(), second.ID), "one that lives is not dropped")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM subscribers WHERE subscriber_id = $1 AND dropped_at IS NULL`, second.ID))
	page, err := b.Subscribers(t.Context(), pay.SubscriberFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, page, 2)
	require.Equal(t, second.ID, page[0].ID, "the newest first")
	page, err = b.Subscribers(t.Context(), pay.SubscriberFilter{MchID: shop, Limit: 10, AfterAt: page[0].CreatedAt, AfterID: page[0].ID})
	require.NoError(t, err)
	require.Len(t, page, 1)
	page, err = b.Subscribers(t.Context(), pay.SubscriberFilter{MchID: other, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, page)
}

func TestClaimSubscribers_gives_each_to_one_worker_until_its_lease_ends(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		b.subscribed(name, strings.ToUpper(name))
	}
	b.removed(first(b.Subscriber(t.Context(), "a")))
	var mu sync.Mutex
	seen := map[pay.SubscriberName]int{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 4 {
				claimed, err := b.ClaimSubscribers(t.Context(), 2, time.Hour)
				mu.Lock()
				for _, k := range claimed {
					seen[k.Name]++
				}
				if err != nil {
					seen[pay.SubscriberName(err.Error())]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Equal(t, map[pay.SubscriberName]int{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1}, seen)
	require.NoError(t, b.exec(`UPDATE subscribers SET next_look_at = now() WHERE name = 'c'`))
	claimed, err := b.ClaimSubscribers(t.Context(), 2, time.Hour)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	require.Equal(t, noon, claimed[0].Last.StoredAt)
}

func first(s pay.Subscriber, _ bool, _ error) pay.Subscriber { return s }

func TestSampleAck_keeps_a_row_only_when_something_moved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.subscribed("shop", "A")
	sample := func(stream time.Time, floor uint64) bool {
		moved, err := b.SampleAck(t.Context(), s.ID, pay.AckSample{StreamAt: stream, Floor: floor, StoredAt: noon})
		require.NoError(t, err)
		return moved
	}
	anew := streamMade.Add(time.Hour)
	for _, step := range []struct {
		stream time.Time
		floor  uint64
		moved  bool
	}{{streamMade, 7, false}, {streamMade, 9, true}, {streamMade, 9, false}, {streamMade, 8, true}, {anew, 8, true}, {anew, 8, false}} {
		require.Equal(t, step.moved, sample(step.stream, step.floor), "%v", step)
	}
	last, err := b.LastAcks(t.Context(), []string{s.ID, uuid.NewString()})
	require.NoError(t, err)
	require.Len(t, last, 1)
	require.Equal(t, pay.AckSample{StreamAt: anew, Floor: 8, StoredAt: noon, At: last[s.ID].At}, last[s.ID])
}

func later(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func TestFirstAcks_finds_the_first_sample_that_covers_an_event(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, anew := b.subscribed("shop", "A"), streamMade.Add(time.Hour)
	require.NoError(t, b.exec(`DELETE FROM subscriber_acks`))
	for _, row := range []struct {
		stream time.Time
		floor  int
		minute int
	}{{streamMade, 10, 1}, {streamMade, 20, 2}, {streamMade, 30, 3}, {streamMade, 15, 4}, {streamMade, 18, 5}, {anew, 40, 6}} {
		require.NoError(t, b.exec(`INSERT INTO subscriber_acks (subscriber_id, stream_created_at, ack_floor, sampled_at) VALUES ($1, $2, $3, $4)`,
			s.ID, row.stream, row.floor, later(row.minute)))
	}
	ask := func(stream time.Time, sequence uint64, published int) pay.AckQuestion {
		return pay.AckQuestion{SubscriberID: s.ID, StreamAt: stream, Sequence: sequence, PublishedAt: later(published)}
	}
	nobody := ask(streamMade, 1, 0)
	nobody.SubscriberID = uuid.NewString()
	got, err := b.FirstAcks(t.Context(), []pay.AckQuestion{
		ask(streamMade, 10, 0), ask(streamMade, 11, 0), ask(streamMade, 30, 0), ask(streamMade, 31, 0),
		ask(streamMade, 17, 4), // published after the stream was restored: what was seen before means another event
		ask(anew, 31, 0), nobody,
	})
	require.NoError(t, err)
	require.Equal(t, []time.Time{later(1), later(4), later(3), {}, later(5), later(6), {}}, got)
	none, err := b.FirstAcks(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestDropOldAcks_drops_in_batches_and_keeps_what_a_consumer_is_made_again_from(t *testing.T) {
	t.Parallel()
	b := setup(t)
	idle, busy, gone := b.subscribed("idle", "A"), b.subscribed("busy", "B"), b.subscribed("gone", "C")
	require.NoError(t, b.exec(`DELETE FROM subscriber_acks`))
	for _, s := range []pay.Subscriber{idle, busy, gone} {
		for floor := range 3 {
			require.NoError(t, b.exec(`INSERT INTO subscriber_acks (subscriber_id, stream_created_at, ack_floor, sampled_at) VALUES ($1, $2, $3, $4)`,
				s.ID, streamMade, floor, later(floor)))
		}
	}
	require.NoError(t, b.exec(`INSERT INTO subscriber_acks (subscriber_id, stream_created_at, ack_floor, sampled_at) VALUES ($1, $2, 9, $3)`, busy.ID, streamMade, noon.AddDate(0, 0, 60)))
	b.removed(gone)
	require.NoError(t, b.SubscriberDropped(t.Context(), gone.ID))
	var dropped []int64
	for range 4 {
		n, err := b.DropOldAcks(t.Context(), noon.AddDate(0, 0, 91), 3)
		require.NoError(t, err)
		dropped = append(dropped, n)
	}
	require.Equal(t, []int64{3, 3, 2, 0}, dropped)
	left, err := b.LastAcks(t.Context(), []string{idle.ID, busy.ID, gone.ID})
	require.NoError(t, err)
	require.Len(t, left, 2)
	require.EqualValues(t, 2, left[idle.ID].Floor)
	require.EqualValues(t, 9, left[busy.ID].Floor)
}

func TestSchema_keeps_a_subscriber_what_it_is(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.subscribed("shop", "A")
	for _, rule := range []struct{ refusedBy, statement string }{
		{"subscribers_are_fixed", `UPDATE subscribers SET name = 'x'`},
		{"subscribers_are_fixed", `UPDATE subscribers SET mchid = '1900000110'`},
		{"subscribers_are_fixed", `UPDATE subscribers SET nkey = 'U' || repeat('Z', 55)`},
		{"subscribers_are_fixed", `UPDATE subscribers SET facts = '{order.paid}'`},
		{"subscribers_are_fixed", `UPDATE subscribers SET starts_after = 0`},
		{"subscribers_are_fixed", `UPDATE subscribers SET stream_created_at = now()`},
		{"subscribers_are_kept", `DELETE FROM subscribers`},
		{"subscribers_are_never_emptied", `TRUNCATE subscribers CASCADE`},
		{"subscribers_removed_by_is_set", `UPDATE subscribers SET removed_at = now()`},
		{"subscribers_dropped_are_removed", `UPDATE subscribers SET dropped_at = now()`},
		{"subscriber_acks_are_fixed", `UPDATE subscriber_acks SET ack_floor = 9`},
		{"subscriber_acks_floor_not_negative", `INSERT INTO subscriber_acks (subscriber_id, stream_created_at, ack_floor) SELECT subscriber_id, now(), -1 FROM subscribers`},
		{"subscribers_name_is_a_word", copySubscriber("name", "'5'")},
		{"subscribers_name_is_a_word", copySubscriber("name", "'a.b'")},
		{"subscribers_mchid_is_digits", copySubscriber("mchid", "'*'")},
		{"subscribers_nkey_is_a_users", copySubscriber("nkey", "'A' || repeat('A', 55)")},
		{"subscribers_facts_are_words", copySubscriber("facts", "'{*.>}'")},
		{"subscribers_facts_are_words", copySubscriber("facts", "'{order.paid,order}'")},
		{"subscribers_start_not_negative", copySubscriber("starts_after", "-1")},
		{"subscribers_created_by_is_set", copySubscriber("created_by", "''")},
		{"subscribers_name_is_unique", copySubscriber("name", "name")},
		{"subscribers_nkey_is_unique", copySubscriber("nkey", "nkey")},
	} {
		require.Equal(t, rule.refusedBy, refusedBy(t, b.exec(rule.statement)), rule.statement)
	}
	require.NoError(t, b.exec(`UPDATE subscribers SET removed_at = now(), removed_by = 'me'`))
	require.Equal(t, "subscribers_are_fixed", refusedBy(t, b.exec(`UPDATE subscribers SET removed_at = NULL, removed_by = ''`)), "it does not come back")
	require.NoError(t, b.exec(`UPDATE subscribers SET dropped_at = now(), next_look_at = now()`))
	require.Equal(t, "subscribers_are_fixed", refusedBy(t, b.exec(`UPDATE subscribers SET dropped_at = NULL`)))
}

// copySubscriber inserts a copy of the subscriber, another one but for one column.
func copySubscriber(column, value string) string {
	names := []string{"subscriber_id", "name", "mchid", "nkey", "facts", "stream_created_at", "starts_after", "created_by"}
	values := map[string]string{"subscriber_id": "gen_random_uuid()", "name": "'copy'", "nkey": "'U' || repeat('C', 55)"}
	values[column] = value
	var list []string
	for _, n := range names {
		if values[n] == "" {
			values[n] = n
		}
		list = append(list, values[n])
	}
	return "INSERT INTO subscribers (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(list, ", ") + " FROM subscribers"
}

func TestTimeline_tells_of_no_subscriber_that_is_called_like_an_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.placeAs("shop01")
	b.subscribed("shop01", "A")
	moments, err := b.Timeline(t.Context(), o.MchID, o.OutTradeNo)
	require.NoError(t, err)
	for _, m := range moments {
		require.NotEqual(t, pay.MomentAudit, m.Kind, "%v", m)
	}
}

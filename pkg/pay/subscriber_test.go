package pay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestParseSubscriberName_takes_words_that_mean_one_thing_everywhere(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"shop", "s", "shop-2", "erp_v2", "a0123456789012345678901234567890"} {
		name, err := pay.ParseSubscriberName(good)
		require.NoError(t, err)
		require.Equal(t, good, string(name))
	}
	for _, bad := range []string{"", "5", "5shop", "Shop", "a.b", "a*", ">", "shop ", "-a", "_a", "店", "a01234567890123456789012345678901", "business", "worker", "console", "subscriber"} {
		_, err := pay.ParseSubscriberName(bad)
		require.Error(t, err, bad)
	}
}

func TestTell_says_no_more_than_is_known(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	published := made.Add(24 * time.Hour)
	seen := published.Add(time.Minute)
	shop := pay.Subscriber{Name: "shop", StreamAt: made, StartsAfter: 10}
	picky := shop
	picky.Facts = []pay.Fact{pay.FactRefundSucceeded}
	event := func(change func(*pay.ToldEvidence)) pay.ToldEvidence {
		e := pay.ToldEvidence{Fact: pay.FactOrderPaid, PublishedAt: published, Sequence: 20, Position: pay.PositionHolds, StreamAt: made, Floor: 19}
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		subscriber pay.Subscriber
		evidence   pay.ToldEvidence
		told       pay.Told
		at         time.Time
	}{
		"above the floor":                       {shop, event(func(*pay.ToldEvidence) {}), pay.ToldNotYet, time.Time{}},
		"at the floor":                          {shop, event(func(e *pay.ToldEvidence) { e.Floor = 20 }), pay.ToldAcknowledged, time.Time{}},
		"seen":                                  {shop, event(func(e *pay.ToldEvidence) { e.Floor, e.SeenAt = 20, seen }), pay.ToldAcknowledged, seen},
		"seen, and the consumer was lost since": {shop, event(func(e *pay.ToldEvidence) { e.Floor, e.SeenAt = 0, seen }), pay.ToldAcknowledged, seen},
		"in the outbox":                         {shop, event(func(e *pay.ToldEvidence) { e.PublishedAt, e.Sequence, e.Position = time.Time{}, 0, "" }), pay.ToldNotPublished, time.Time{}},
		"not wanted":                            {picky, event(func(e *pay.ToldEvidence) { e.Floor = 20 }), pay.ToldNotSubscribed, time.Time{}},
		"not wanted, in the outbox":             {picky, event(func(e *pay.ToldEvidence) { e.PublishedAt = time.Time{} }), pay.ToldNotSubscribed, time.Time{}},
		"before its start":                      {shop, event(func(e *pay.ToldEvidence) { e.Sequence = 10 }), pay.ToldBeforeStart, time.Time{}},
		"before its start, in another stream":   {shop, event(func(e *pay.ToldEvidence) { e.Sequence, e.StreamAt = 10, made.Add(time.Hour) }), pay.ToldAcknowledged, time.Time{}},
		"another event stands there":            {shop, event(func(e *pay.ToldEvidence) { e.Position, e.Floor, e.SeenAt = pay.PositionOther, 30, seen }), pay.ToldUnknown, time.Time{}},
		"left the stream":                       {shop, event(func(e *pay.ToldEvidence) { e.Position, e.Floor = pay.PositionGone, 30 }), pay.ToldUnknown, time.Time{}},
		"left the stream after it was seen":     {shop, event(func(e *pay.ToldEvidence) { e.Position, e.Floor, e.SeenAt = pay.PositionGone, 30, seen }), pay.ToldAcknowledged, seen},
		"passed over because it was gone": {shop, event(func(e *pay.ToldEvidence) {
			e.Position, e.Floor, e.SeenAt = pay.PositionGone, 30, published.Add(91*24*time.Hour)
		}), pay.ToldUnknown, time.Time{}},
	} {
		told, at := c.subscriber.Tell(c.evidence)
		require.Equal(t, c.told, told, name)
		require.Equal(t, c.at, at, name)
	}
}

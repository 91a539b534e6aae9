package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// placeFor places an order of a merchant at an instant.
func (b *books) placeFor(mchid pay.MchID, no pay.OutTradeNo, at time.Time) pay.Order {
	b.t.Helper()
	o := order(no)
	o.MchID, o.CreatedAt, o.UpdatedAt, o.ExpiresAt = mchid, at, at, at.Add(2*time.Hour)
	placed, created, _, err := b.CreateOrder(b.t.Context(), o)
	require.NoError(b.t, err)
	require.True(b.t, created)
	return placed
}

// pages reads a whole list of orders, page by page.
func (b *books) pages(f pay.OrderFilter) []pay.OutTradeNo {
	b.t.Helper()
	var numbers []pay.OutTradeNo
	for {
		orders, err := b.ListOrders(b.t.Context(), f)
		require.NoError(b.t, err)
		if len(orders) == 0 {
			return numbers
		}
		require.LessOrEqual(b.t, len(orders), f.Limit)
		for _, o := range orders {
			numbers = append(numbers, o.OutTradeNo)
			f.AfterAt, f.AfterMchID, f.AfterNo = o.CreatedAt, o.MchID, o.OutTradeNo
		}
	}
}

func TestListOrders_pages_from_the_newest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.placeFor(shop, "T-000001", noon)
	b.placeFor(other, "T-000002", noon)
	failed := b.placeFor(shop, "T-000003", noon)
	closed := b.placeFor(other, "T-000004", noon.Add(time.Second))
	paid := b.placeFor(shop, "T-000005", noon.Add(2*time.Second))
	awaiting := b.placeFor(shop, "T-000006", noon.Add(3*time.Second))
	closed2 := b.placeFor(shop, "T-000007", noon.Add(time.Second))
	refused := observe(failed, pay.ObservedRefused)
	refused.Code = "PARAM_ERROR"
	b.told(refused, observe(closed, pay.ObservedClosed), observe(closed2, pay.ObservedClosed), payment(paid, txOf(paid)), observe(awaiting, pay.ObservedPrepared))

	for name, row := range map[string]struct {
		filter pay.OrderFilter
		want   []pay.OutTradeNo
	}{
		"all":               {pay.OrderFilter{}, []pay.OutTradeNo{"T-000006", "T-000005", "T-000004", "T-000007", "T-000002", "T-000003", "T-000001"}},
		"of a merchant":     {pay.OrderFilter{MchID: other}, []pay.OutTradeNo{"T-000004", "T-000002"}},
		"of nobody":         {pay.OrderFilter{MchID: "1900000111"}, nil},
		"since":             {pay.OrderFilter{Since: noon.Add(2 * time.Second)}, []pay.OutTradeNo{"T-000006", "T-000005"}},
		"created":           {pay.OrderFilter{State: pay.OrderCreated}, []pay.OutTradeNo{"T-000002", "T-000001"}},
		"awaiting payment":  {pay.OrderFilter{State: pay.OrderAwaitingPayment}, []pay.OutTradeNo{"T-000006"}},
		"paid":              {pay.OrderFilter{State: pay.OrderPaid}, []pay.OutTradeNo{"T-000005"}},
		"closed":            {pay.OrderFilter{State: pay.OrderClosed}, []pay.OutTradeNo{"T-000004", "T-000007"}},
		"closed, of one":    {pay.OrderFilter{State: pay.OrderClosed, MchID: other}, []pay.OutTradeNo{"T-000004"}},
		"created, of one":   {pay.OrderFilter{State: pay.OrderCreated, MchID: shop}, []pay.OutTradeNo{"T-000001"}},
		"failed":            {pay.OrderFilter{State: pay.OrderFailed}, []pay.OutTradeNo{"T-000003"}},
		"failed, since":     {pay.OrderFilter{State: pay.OrderFailed, Since: noon.Add(time.Second)}, nil},
		"of no known state": {pay.OrderFilter{State: "lost"}, nil},
	} {
		for _, limit := range []int{1, 2, 3, 50} {
			row.filter.Limit = limit
			require.Equal(t, row.want, b.pages(row.filter), "%s by %d", name, limit)
		}
	}
	one, err := b.ListOrders(t.Context(), pay.OrderFilter{State: pay.OrderPaid, Limit: 9})
	require.NoError(t, err)
	want := b.order(paid)
	want.PrepayRequest = nil
	require.Equal(t, []pay.Order{want}, one)
	none, err := b.ListOrders(t.Context(), pay.OrderFilter{Limit: -1})
	require.NoError(t, err)
	require.Empty(t, none)
}

// lettered leaves a letter behind that failed at an instant.
func (b *books) lettered(mchid pay.MchID, reason pay.LetterReason, at time.Time) pay.Entry {
	b.t.Helper()
	o := order("T-nowhere-00001")
	o.MchID = mchid
	e := arrived(payment(o, "4200"))
	e.Letter = &pay.LetterCause{Reason: reason, Detail: "because"}
	b.settle(e)
	require.NoError(b.t, b.exec(`UPDATE dead_letters SET first_failed_at = $2 WHERE delivery_id = $1`, string(e.Delivery.ID), at))
	return e
}

func (b *books) letterPages(f pay.LetterFilter) []pay.DeliveryID {
	b.t.Helper()
	var ids []pay.DeliveryID
	for {
		letters, err := b.ListLetters(b.t.Context(), f)
		require.NoError(b.t, err)
		if len(letters) == 0 {
			return ids
		}
		require.LessOrEqual(b.t, len(letters), f.Limit)
		for _, l := range letters {
			require.Empty(b.t, l.Delivery.Body, "a list carries no bytes")
			require.Empty(b.t, l.Delivery.Headers)
			ids = append(ids, l.Delivery.ID)
			f.AfterAt, f.AfterID = l.FirstFailAt, l.Delivery.ID
		}
	}
}

func TestListLetters_pages_from_the_oldest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waiting := b.lettered(shop, pay.LetterUnknownOrder, noon.Add(3*time.Second)).Delivery.ID
	open := b.lettered(shop, pay.LetterMalformed, noon).Delivery.ID
	same := b.lettered(other, pay.LetterMalformed, noon).Delivery.ID
	gone := b.lettered(shop, pay.LetterInternal, noon.Add(time.Second)).Delivery.ID
	_, _, _, err := b.DiscardLetter(t.Context(), gone, "token:me", "why not")
	require.NoError(t, err)

	for name, row := range map[string]struct {
		filter pay.LetterFilter
		want   []pay.DeliveryID
	}{
		"not at an end": {pay.LetterFilter{}, []pay.DeliveryID{open, same, waiting}},
		"of a merchant": {pay.LetterFilter{MchID: shop}, []pay.DeliveryID{open, waiting}},
		"of a reason":   {pay.LetterFilter{Reason: pay.LetterUnknownOrder}, []pay.DeliveryID{waiting}},
		"discarded":     {pay.LetterFilter{State: pay.LetterDiscarded}, []pay.DeliveryID{gone}},
		"since":         {pay.LetterFilter{Since: noon.Add(time.Second)}, []pay.DeliveryID{waiting}},
		"open":          {pay.LetterFilter{State: pay.LetterOpen}, []pay.DeliveryID{open, same}},
		"resolved":      {pay.LetterFilter{State: pay.LetterResolved}, nil},
	} {
		for _, limit := range []int{1, 2, 50} {
			row.filter.Limit = limit
			require.Equal(t, row.want, b.letterPages(row.filter), "%s by %d", name, limit)
		}
	}
}

func TestLetterGroups_count_by_merchant_reason_and_state(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.lettered(shop, pay.LetterMalformed, noon.Add(time.Hour))
	b.lettered(shop, pay.LetterMalformed, noon)
	b.lettered(other, pay.LetterMalformed, noon)
	gone := b.lettered(shop, pay.LetterMalformed, noon)
	_, _, _, err := b.DiscardLetter(t.Context(), gone.Delivery.ID, "token:me", "why not")
	require.NoError(t, err)

	discarded := pay.LetterGroup{MchID: shop, Reason: pay.LetterMalformed, State: pay.LetterDiscarded, Count: 1, OldestAt: noon}
	open := pay.LetterGroup{MchID: shop, Reason: pay.LetterMalformed, State: pay.LetterOpen, Count: 2, OldestAt: noon}
	theirs := pay.LetterGroup{MchID: other, Reason: pay.LetterMalformed, State: pay.LetterOpen, Count: 1, OldestAt: noon}
	late := pay.LetterGroup{MchID: shop, Reason: pay.LetterMalformed, State: pay.LetterOpen, Count: 1, OldestAt: noon.Add(time.Hour)}
	for _, row := range []struct {
		mchid pay.MchID
		since time.Time
		want  []pay.LetterGroup
	}{
		{"", time.Time{}, []pay.LetterGroup{discarded, open, theirs}},
		{other, time.Time{}, []pay.LetterGroup{theirs}},
		{"", noon.Add(time.Minute), []pay.LetterGroup{late}},
		{"1900000111", time.Time{}, []pay.LetterGroup{}},
	} {
		got, err := b.LetterGroups(t.Context(), row.mchid, row.since)
		require.NoError(t, err)
		require.Equal(t, row.want, got)
	}
}

func TestAudit_pages_from_the_newest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.exec(`INSERT INTO audit (mchid, audit_id, at, actor, action, subject, detail)
		SELECT '', gen_random_uuid(), $1::timestamptz + make_interval(secs => g / 2), 'me', 'look', g::text, jsonb_build_object('n', g) FROM generate_series(1, 7) AS g`, noon))
	want := map[int]int{1: 7, 3: 7, 100: 7}
	for limit, all := range want {
		f := pay.AuditFilter{Limit: limit}
		seen := map[string]bool{}
		last := noon.Add(time.Hour)
		for {
			entries, err := b.Audit(t.Context(), f)
			require.NoError(t, err)
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				require.False(t, e.At.After(last))
				last = e.At
				seen[e.Subject] = true
				f.AfterAt, f.AfterID = e.At, e.ID
			}
		}
		require.Len(t, seen, all, "by %d", limit)
	}
	some, err := b.Audit(t.Context(), pay.AuditFilter{Limit: 9, Since: noon.Add(3 * time.Second)})
	require.NoError(t, err)
	require.Len(t, some, 2)
	require.NoError(t, uuid.Validate(some[0].ID))
	require.Equal(t, "me look", some[0].Actor+" "+some[0].Action)
	require.Contains(t, some[0].Detail, "n")
}

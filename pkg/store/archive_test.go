package store_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// arrivedID is a delivery id as ingest gives one at an instant.
func arrivedID(at time.Time, n uint16) pay.DeliveryID {
	var id uuid.UUID
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6], id[8] = 0x70, 0x80
	binary.BigEndian.PutUint16(id[14:], n)
	return pay.DeliveryID(id.String())
}

// archive keeps a delivery that concerns no order.
func (b *books) archive(mchid pay.MchID, kind pay.DeliveryKind, at time.Time, n uint16) pay.DeliveryID {
	b.t.Helper()
	d := &pay.Delivery{ID: arrivedID(at, n), MchID: mchid, Kind: kind, ReceivedAt: at, Headers: map[string]string{"Wechatpay-Nonce": "n\xff\"once"}, Body: []byte("\x00\xff"), KeyID: "K"}
	b.settle(pay.Entry{Delivery: d})
	return d.ID
}

func ids(page pay.DeliveryPage) []pay.DeliveryID {
	all := []pay.DeliveryID{}
	for _, d := range page.Deliveries {
		all = append(all, d.ID)
	}
	return all
}

func (b *books) deliveriesOf(f pay.DeliveryFilter) pay.DeliveryPage {
	b.t.Helper()
	page, err := b.ListDeliveries(b.t.Context(), f)
	require.NoError(b.t, err)
	return page
}

func TestListDeliveries_gives_the_newest_first_page_by_page(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []pay.DeliveryID
	for n := range uint16(5) {
		mchid := shop
		if n%2 == 1 {
			mchid = other
		}
		want = append([]pay.DeliveryID{b.archive(mchid, pay.DeliveryNotifyV3, noon.Add(time.Duration(n)*time.Hour), n)}, want...)
	}
	var got []pay.DeliveryID
	f := pay.DeliveryFilter{Limit: 2}
	for pages := 1; ; pages++ {
		page := b.deliveriesOf(f)
		got = append(got, ids(page)...)
		if !page.More {
			require.Equal(t, 3, pages)
			break
		}
		f.AfterID, f.AfterMchID = page.LastID, page.LastMchID
	}
	require.Equal(t, want, got)
	require.Equal(t, []pay.DeliveryID{want[1], want[3]}, ids(b.deliveriesOf(pay.DeliveryFilter{MchID: other, Limit: 9})))
	since := b.deliveriesOf(pay.DeliveryFilter{Since: noon.Add(3 * time.Hour), Limit: 9})
	require.Equal(t, want[:2], ids(since))
	require.False(t, since.More)
	require.Empty(t, since.Deliveries[0].Body, "without the bytes, unless they are asked for")
	whole := b.deliveriesOf(pay.DeliveryFilter{Limit: 1, Bytes: true})
	require.True(t, whole.More)
	require.Equal(t, "\x00\xff", string(whole.Deliveries[0].Body))
	require.Equal(t, "n\xff\"once", whole.Deliveries[0].Headers["Wechatpay-Nonce"])
}

func TestListDeliveries_tells_kinds_apart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v3 := b.archive(shop, pay.DeliveryNotifyV3, noon, 1)
	v2 := b.archive(shop, pay.DeliveryNotifyV2Pay, noon, 2)
	answer := b.archive(shop, pay.DeliveryAnswer, noon, 3)
	require.Equal(t, []pay.DeliveryID{v2, v3}, ids(b.deliveriesOf(pay.DeliveryFilter{Limit: 9})), "answers were asked for by us")
	require.Equal(t, []pay.DeliveryID{answer}, ids(b.deliveriesOf(pay.DeliveryFilter{Kinds: []pay.DeliveryKind{pay.DeliveryAnswer}, Limit: 9})))
}

// Answers may be all that there is of a merchant. A page does not read them all.
func TestListDeliveries_looks_only_so_far_and_says_where_to_go_on(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.archive(shop, pay.DeliveryNotifyV3, noon, 1)
	require.NoError(t, b.exec(`INSERT INTO deliveries (mchid, delivery_id, kind, received_at, headers, body, trace_parent, stream, stream_sequence, stream_index, key_id, notification_id, event_type, out_trade_no, transaction_id)
		SELECT $1, ('019ca78e-0000-7000-8000-' || lpad(g::text, 12, '0'))::uuid, 'answer', $2, '', 'x', '', '', 0, 0, '', '', '', '', '' FROM generate_series(1, 6000) AS g`, string(shop), noon))
	page := b.deliveriesOf(pay.DeliveryFilter{MchID: shop, Limit: 10})
	require.Empty(t, page.Deliveries)
	require.True(t, page.More)
	page = b.deliveriesOf(pay.DeliveryFilter{MchID: shop, Limit: 10, AfterID: page.LastID, AfterMchID: page.LastMchID})
	require.Equal(t, []pay.DeliveryID{old}, ids(page))
	require.False(t, page.More)
}

func TestDelivery_is_found_by_its_id_alone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.archive(shop, pay.DeliveryNotifyV3, noon, 1)
	id := b.archive(other, pay.DeliveryNotifyV2Pay, noon, 2)
	d, found, err := b.Delivery(t.Context(), id)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, other, d.MchID)
	require.Equal(t, "\x00\xff", string(d.Body))
	for _, none := range []pay.DeliveryID{arrivedID(noon, 3), "no id", ""} {
		_, found, err := b.Delivery(t.Context(), none)
		require.NoError(t, err)
		require.False(t, found)
	}
}

func TestWriteAudit_keeps_who_and_why(t *testing.T) {
	t.Parallel()
	b := setup(t)
	detail := map[string]any{"reason": "a \x00 key", "sequence": 7}
	require.NoError(t, b.WriteAudit(t.Context(), pay.AuditEntry{MchID: shop, Actor: "token:ada", Action: "rejected.publish", Subject: "s", Detail: detail}))
	entries, err := b.Audit(t.Context(), pay.AuditFilter{Limit: 2})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "token:ada", entries[0].Actor)
	require.Equal(t, map[string]any{"reason": "a \uFFFD key", "sequence": 7.0}, entries[0].Detail)
	require.Equal(t, "a \x00 key", detail["reason"], "the caller's own map stays as it was")
}

package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

const (
	shop  = pay.MchID("1900000109")
	other = pay.MchID("1900000110")
	appID = pay.AppID("wx8888888888888888")
	price = pay.Fen(100)
)

var noon = time.Date(2026, 3, 1, 4, 0, 0, 123456000, time.UTC)

// books is a store on a database of the test's own, and a second way into it.
type books struct {
	*store.Store
	t   testing.TB
	url string
	sql *sql.DB
	n   atomic.Int64
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

func setup(t testing.TB) *books {
	t.Helper()
	return openBooks(t, testkit.Database(t, "store", migrate))
}

func openBooks(t testing.TB, url string) *books {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{URL: url, MaxConns: 16, Name: "store test"})
	require.NoError(t, err)
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, db.Close())
	})
	return &books{Store: s, t: t, url: url, sql: db}
}

// defaults is every merchant's policy unless a test says otherwise.
func defaults(pay.MchID) pay.Policies { return pay.Policies{} }

func order(no pay.OutTradeNo) pay.Order {
	return pay.Order{
		MchID: shop, OutTradeNo: no, AppID: appID, Client: pay.ClientJSAPI, Protocol: pay.ProtocolV3,
		Description: "One pot of tea", Amount: price, Currency: pay.CNY, OpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
		Attach: "table 7", Digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		CreatedAt: noon, ExpiresAt: noon.Add(2 * time.Hour), NextCheckAt: noon.Add(time.Minute), CheckAPI: pay.APIOrderQuery,
		PrepayRequest: []byte(`{"amount":{"total":100}}`),
	}
}

// place creates an order with a number of its own.
func (b *books) place() pay.Order {
	b.t.Helper()
	return b.placeAs(pay.OutTradeNo(fmt.Sprintf("T%012d", b.n.Add(1))))
}

func (b *books) placeAs(no pay.OutTradeNo) pay.Order {
	b.t.Helper()
	o, created, _, err := b.CreateOrder(b.t.Context(), order(no))
	require.NoError(b.t, err)
	require.True(b.t, created)
	return o
}

// placeMany creates n orders at once, as if their events were published already.
func (b *books) placeMany(n int) []pay.Order {
	b.t.Helper()
	orders := make([]pay.Order, n)
	last := b.n.Add(int64(n))
	for i := range orders {
		o := order(pay.OutTradeNo(fmt.Sprintf("T%012d", last-int64(n-i)+1)))
		o.State, o.Sequence, o.UpdatedAt = pay.OrderCreated, 1, o.CreatedAt
		orders[i] = o
	}
	o := orders[0]
	require.NoError(b.t, b.exec(`WITH numbers AS (SELECT 'T' || lpad(g::text, 12, '0') AS no FROM generate_series($1::bigint, $2::bigint) AS g),
		placed AS (INSERT INTO orders (mchid, out_trade_no, appid, client, protocol, description, amount_fen, currency, openid, attach, digest, state, sequence, created_at, updated_at, expires_at, prepay_request, next_check_at)
			SELECT $3, no, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'created', 1, $13, $13, $14, $15, $16 FROM numbers)
		INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at)
			SELECT $3, no, 1, 'created', 'command', 'created', 'created', '', '', '', $13 FROM numbers`,
		last-int64(n)+1, last, string(o.MchID), string(o.AppID), string(o.Client), string(o.Protocol), o.Description, int64(o.Amount), o.Currency,
		string(o.OpenID), o.Attach, o.Digest, o.CreatedAt, o.ExpiresAt, o.PrepayRequest, o.NextCheckAt))
	return orders
}

func observe(o pay.Order, kind pay.ObservationKind) pay.Observation {
	return pay.Observation{
		Kind: kind, Source: pay.SourceNotification, ObservedAt: noon.Add(2 * time.Second), KeyID: "PUB_KEY_ID_1",
		MchID: o.MchID, OutTradeNo: o.OutTradeNo,
	}
}

func payment(o pay.Order, tx pay.TransactionID) pay.Observation {
	obs := observe(o, pay.ObservedPaid)
	obs.AppID, obs.TransactionID, obs.Amount, obs.PayerTotal, obs.Currency = o.AppID, tx, o.Amount, o.Amount-1, o.Currency
	obs.PaidAt, obs.OpenID, obs.TradeType, obs.BankType = noon.Add(time.Second), o.OpenID, "JSAPI", "OTHERS"
	return obs
}

// arrived wraps an observation in a delivery of its own.
func arrived(obs pay.Observation) pay.Entry {
	id := pay.DeliveryID(uuid.Must(uuid.NewV7()).String())
	obs.DeliveryID = id
	return pay.Entry{Observation: &obs, Delivery: &pay.Delivery{
		ID: id, MchID: obs.MchID, Kind: pay.DeliveryNotifyV3, ReceivedAt: obs.ObservedAt,
		Headers: map[string]string{"Wechatpay-Nonce": "n\xff\"once", "Wechatpay-Serial": "PUB_KEY_ID_1"},
		Body:    []byte("{\"raw\":\"\x00\xff\"}"), TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Position: pay.Position{Stream: "NOTIFY", Sequence: 7, Index: 3},
		KeyID:    obs.KeyID, NotificationID: "EV-1", EventType: "TRANSACTION.SUCCESS",
		OutTradeNo: obs.OutTradeNo, TransactionID: obs.TransactionID,
	}}
}

func (b *books) settle(entries ...pay.Entry) pay.Settled {
	b.t.Helper()
	settled, err := b.Settle(b.t.Context(), entries, defaults)
	require.NoError(b.t, err)
	require.Len(b.t, settled.Results, len(entries))
	return settled
}

func (b *books) order(o pay.Order) pay.Order {
	b.t.Helper()
	now, found, err := b.Order(b.t.Context(), o.MchID, o.OutTradeNo)
	require.NoError(b.t, err)
	require.True(b.t, found)
	return now
}

// count runs a counting query.
func (b *books) count(query string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.sql.QueryRowContext(b.t.Context(), query, args...).Scan(&n))
	return n
}

func (b *books) text(query string, args ...any) string {
	b.t.Helper()
	var s sql.NullString
	require.NoError(b.t, b.sql.QueryRowContext(b.t.Context(), query, args...).Scan(&s))
	return s.String
}

func (b *books) exec(query string, args ...any) error {
	b.t.Helper()
	_, err := b.sql.ExecContext(b.t.Context(), query, args...)
	return err
}

// forge writes what the rules of the schema refuse: times that a test cannot wait for.
func (b *books) forge(query string, args ...any) {
	b.t.Helper()
	tx, err := b.sql.BeginTx(b.t.Context(), nil)
	require.NoError(b.t, err)
	_, err = tx.ExecContext(b.t.Context(), `SET LOCAL session_replication_role = replica`)
	require.NoError(b.t, err)
	_, err = tx.ExecContext(b.t.Context(), query, args...)
	require.NoError(b.t, err)
	require.NoError(b.t, tx.Commit())
}

// facts lists what the outbox tells about an order, oldest sequence first.
func (b *books) facts(o pay.Order) []string {
	b.t.Helper()
	rows, err := b.sql.QueryContext(b.t.Context(), `SELECT payload FROM outbox WHERE mchid = $1 AND out_trade_no = $2
		ORDER BY (payload::json->'data'->>'sequence')::int`, string(o.MchID), string(o.OutTradeNo))
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, rows.Close()) }()
	var facts []string
	for rows.Next() {
		var payload string
		require.NoError(b.t, rows.Scan(&payload))
		e, err := event.Parse([]byte(payload))
		require.NoError(b.t, err)
		facts = append(facts, e.Type)
	}
	require.NoError(b.t, rows.Err())
	return facts
}

func outcomes(s pay.Settled) []pay.Outcome {
	all := make([]pay.Outcome, len(s.Results))
	for i, r := range s.Results {
		all[i] = r.Outcome
	}
	return all
}

func parsed(t testing.TB, payload []byte) event.Event {
	t.Helper()
	var e event.Event
	require.NoError(t, json.Unmarshal(payload, &e))
	return e
}

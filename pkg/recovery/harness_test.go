package recovery_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/deadletter"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/recovery"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	shop  = pay.MchID("1900000109")
	appID = pay.AppID("wx8888888888888888")
	price = 100
)

var noon = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)

// fatal is what a *testing.T and a *rapid.T have in common.
type fatal interface {
	require.TestingT
	Helper()
}

// world is a shop's past (then), in books that were lost, and the books that were
// restored (now), which know nothing of it. Whatever happens in the past leaves
// its traces where the broker and WeChat Pay keep them.
type world struct {
	t         fatal
	then, now *ledger
	tape      *tape
	wechat    *platform
	rules     pay.Policies // of then
	rulesNow  pay.Policies
	clock     time.Time
	service   *recovery.Service
	commands  *command.Service // of then
	n         int
	seen      map[string]bool // events of then that are on the tape

	outcomesMayDiffer bool
}

// ledger is a store and a second way into its database.
type ledger struct {
	*store.Store
	sql *sql.DB
}

func openLedger(t testing.TB) *ledger {
	t.Helper()
	url := testkit.Database(t, "recovery", func(ctx context.Context, url string) error {
		_, err := store.Migrate(ctx, url)
		return err
	})
	s, err := store.Open(context.Background(), store.Config{URL: url, MaxConns: 12})
	require.NoError(t, err)
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, db.Close())
	})
	return &ledger{s, db}
}

func (l *ledger) rows(t fatal, statement string, args ...any) []string {
	t.Helper()
	rows, err := l.sql.QueryContext(context.Background(), statement, args...)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var all []string
	for rows.Next() {
		var one sql.NullString
		require.NoError(t, rows.Scan(&one))
		all = append(all, one.String)
	}
	require.NoError(t, rows.Err())
	return all
}

// newWorld begins a past on books that others may have used before: its numbers
// are its own.
func newWorld(t fatal, then, now *ledger) *world {
	w := &world{t: t, then: then, now: now, clock: noon, seen: map[string]bool{}}
	w.tape = &tape{entries: map[string]pay.Entry{}, floors: map[pay.MchID]uint64{}}
	w.wechat = &platform{orders: map[pay.OutTradeNo]*paidOrder{}, refunds: map[pay.OutRefundNo]*wechatpay.RefundAnswer{}, asked: map[string]int{}}
	w.commands = w.commandsOn(then, &recovery.Hush{})
	hush := &recovery.Hush{}
	settler := settle.New(settle.Options{
		Books: now, Merchants: w, Relay: hush, Retryable: store.Retryable, Now: time.Now, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Open: func(wechatpay.Envelope, *merchant.Credentials) (wechatpay.Notification, error) {
			panic("the tape reads")
		},
	})
	w.service = recovery.New(recovery.Options{
		Books: now, Streams: w.tape, Names: recovery.StreamNames{Notify: "NOTIFY", Command: "COMMAND", Event: "EVENT"},
		Settler: reader{settler, w.tape}, Commands: w.commandsOn(now, hush), Letters: deadletter.New(now, reader{settler, w.tape}, slog.New(slog.DiscardHandler)),
		Merchants: shops{w}, Hush: hush, Budgets: recovery.Budgets{OrderQuery: 1000, RefundQuery: 1000}, NotifyURL: notifyURL, Retryable: store.Retryable,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	return w
}

func notifyURL(id pay.MchID, p pay.Protocol) string {
	return "https://pay.example.com/notify/" + string(p) + "/" + string(id)
}

func (w *world) commandsOn(books *ledger, relay command.Relay) *command.Service {
	return command.New(command.Options{
		Books: books, Merchants: merchantsOf{w}, Letters: noLetters{}, Relay: relay, Waker: noWaker{}, NotifyURL: notifyURL,
		Budgets: command.Budgets{OrderQuery: 1000, OrderClose: 1000, RefundQuery: 1000}, Retryable: store.Retryable, Now: func() time.Time { return w.clock },
		Nonce: func() string { return "nonce" }, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
}

// Credentials and the rest are what the services ask of merchants.
func (w *world) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	return &merchant.Credentials{Merchant: merchant.Merchant{MchID: id, Apps: []merchant.App{{AppID: appID}}, Protocol: pay.ProtocolV3, Policies: w.rules}}, true
}

type merchantsOf struct{ *world }

func (m merchantsOf) WeChat(pay.MchID) (command.WeChat, bool) { return m.wechat, true }

type shops struct{ *world }

func (s shops) Rules(pay.MchID) pay.Policies                   { return s.rulesNow }
func (s shops) WeChat(pay.MchID) (recovery.WeChat, bool)       { return s.wechat, true }
func (w *world) policies(pay.MchID) pay.Policies               { return w.rules }
func (w *world) order(no pay.OutTradeNo) pay.Order             { return w.orderIn(w.then, no) }
func (w *world) orderNow(no pay.OutTradeNo) pay.Order          { return w.orderIn(w.now, no) }
func (w *world) sql(l *ledger, q string, args ...any) []string { return l.rows(w.t, q, args...) }

func (w *world) orderIn(l *ledger, no pay.OutTradeNo) pay.Order {
	o, found, err := l.Order(context.Background(), shop, no)
	require.NoError(w.t, err)
	require.True(w.t, found, no)
	return o
}

type noLetters struct{}

func (noLetters) Retry(context.Context, pay.MchID, pay.OutTradeNo) (int, error) { return 0, nil }

type noWaker struct{}

func (noWaker) WakeOrder(context.Context, pay.MchID, pay.OutTradeNo)   {}
func (noWaker) WakeRefund(context.Context, pay.MchID, pay.OutRefundNo) {}

// reader reads envelopes as the tape says that they read.
type reader struct {
	*settle.Service
	tape *tape
}

func (r reader) Read(_ context.Context, arrivals []wechatpay.Arrival) ([]pay.Entry, error) {
	var entries []pay.Entry
	for _, a := range arrivals {
		entries = append(entries, r.tape.read(a))
	}
	return entries, nil
}

func (r reader) Settle(ctx context.Context, arrivals []wechatpay.Arrival) error {
	entries, err := r.Read(ctx, arrivals)
	if err != nil {
		return err
	}
	return r.Commit(ctx, entries)
}

// tape is what the broker kept.
type tape struct {
	events   []pay.ToldEvent
	packs    []wechatpay.StoredPack
	commands []pay.StoredCommand
	entries  map[string]pay.Entry // by the envelope's body
	floors   map[pay.MchID]uint64
}

func (t *tape) read(a wechatpay.Arrival) pay.Entry {
	e := t.entries[string(a.Envelope.Body)]
	d := pay.Delivery{ID: a.Envelope.DeliveryID, MchID: shop, Kind: pay.DeliveryNotifyV3, ReceivedAt: a.Envelope.ReceivedAt, Body: a.Envelope.Body, Position: a.Position}
	obs := *e.Observation
	obs.DeliveryID = d.ID
	d.OutTradeNo, d.TransactionID = obs.OutTradeNo, obs.TransactionID
	return pay.Entry{Delivery: &d, Observation: &obs}
}

// ordered gives each stream the order of the time at which things were stored.
func (t *tape) ordered() {
	slices.SortStableFunc(t.events, func(a, b pay.ToldEvent) int { return a.StoredAt.Compare(b.StoredAt) })
	slices.SortStableFunc(t.packs, func(a, b wechatpay.StoredPack) int { return a.StoredAt.Compare(b.StoredAt) })
	slices.SortStableFunc(t.commands, func(a, b pay.StoredCommand) int { return a.StoredAt.Compare(b.StoredAt) })
	for i := range t.events {
		t.events[i].Sequence = uint64(i + 1)
	}
	for i := range t.packs {
		t.packs[i].Sequence = uint64(i + 1)
		t.packs[i].Arrivals[0].Position = pay.Position{Stream: "NOTIFY", Sequence: uint64(i + 1)}
	}
	for i := range t.commands {
		t.commands[i].Sequence = uint64(i + 1)
	}
	if _, set := t.floors[shop]; !set {
		t.floors[shop] = uint64(len(t.commands))
	}
}

func (t *tape) times(stream string) []time.Time {
	var at []time.Time
	switch stream {
	case "EVENT":
		for _, e := range t.events {
			at = append(at, e.StoredAt)
		}
	case "NOTIFY":
		for _, p := range t.packs {
			at = append(at, p.StoredAt)
		}
	default:
		for _, c := range t.commands {
			at = append(at, c.StoredAt)
		}
	}
	return at
}

func (t *tape) Since(_ context.Context, stream string, at time.Time) (pay.Stretch, error) {
	times := t.times(stream)
	first := slices.IndexFunc(times, func(stored time.Time) bool { return !stored.Before(at) })
	if first < 0 {
		first = len(times)
	}
	return pay.Stretch{First: uint64(first + 1), Next: uint64(first + 1), Until: uint64(len(times) + 1)}, nil
}

func (t *tape) Tail(_ context.Context, stream string, most uint64) (pay.Stretch, error) {
	n := uint64(len(t.times(stream)))
	first := n - min(n, most) + 1
	return pay.Stretch{First: first, Next: first, Until: n + 1}, nil
}

func part[T any](all []T, s pay.Stretch, most int) []T {
	from := min(s.Next, s.Until) - 1
	return slices.Clone(all[from:min(from+uint64(most), s.Until-1)])
}

func (t *tape) ReadTold(_ context.Context, s pay.Stretch, most int) ([]pay.ToldEvent, error) {
	return part(t.events, s, most), nil
}

func (t *tape) ReadNotifications(_ context.Context, s pay.Stretch, most int) ([]wechatpay.StoredPack, error) {
	return part(t.packs, s, most), nil
}

func (t *tape) ReadCommands(_ context.Context, s pay.Stretch, most int) ([]pay.StoredCommand, error) {
	return part(t.commands, s, most), nil
}

func (t *tape) CommandFloors(context.Context) (map[pay.MchID]uint64, error) { return t.floors, nil }

// platform is WeChat Pay: what it knows at the end.
type platform struct {
	mu      sync.Mutex
	orders  map[pay.OutTradeNo]*paidOrder
	refunds map[pay.OutRefundNo]*wechatpay.RefundAnswer
	asked   map[string]int
	away    error // of every question
	refuse  bool  // of prepay calls
}

type paidOrder struct {
	state   wechatpay.TradeState
	payment pay.Observation
}

func notExist(code string) error {
	return &wechatpay.CallError{Class: wechatpay.ClassQueryFirst, Status: http.StatusNotFound, Code: code, Verified: true}
}

func (p *platform) PrepayBody(o pay.Order, url string) ([]byte, error) {
	return json.Marshal(map[string]any{"out_trade_no": o.OutTradeNo, "description": o.Description, "total": o.Amount, "openid": o.OpenID, "attach": o.Attach, "expires": o.ExpiresAt, "url": url})
}

func (p *platform) Prepay(_ context.Context, o pay.Order) (pay.Credential, wechatpay.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked["prepay"]++
	if p.refuse {
		return pay.Credential{}, wechatpay.Answer{}, &wechatpay.CallError{Class: wechatpay.ClassFinal, Status: http.StatusBadRequest, Code: "PARAM_ERROR", Message: "no"}
	}
	if p.orders[o.OutTradeNo] == nil {
		p.orders[o.OutTradeNo] = &paidOrder{state: "NOTPAY"}
	}
	at := o.CreatedAt.Add(time.Second)
	return pay.Credential{CodeURL: "weixin://" + string(o.OutTradeNo), ExpiresAt: at.Add(2 * time.Hour)}, wechatpay.Answer{ReceivedAt: at, KeyID: "K"}, nil
}

func (p *platform) QueryOrder(_ context.Context, o pay.Order) (wechatpay.OrderAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked["order"]++
	known := p.orders[o.OutTradeNo]
	switch {
	case p.away != nil:
		return wechatpay.OrderAnswer{}, p.away
	case known == nil:
		return wechatpay.OrderAnswer{}, notExist("ORDER_NOT_EXIST")
	}
	t := wechatpay.Transaction{MchID: shop, AppID: appID, OutTradeNo: o.OutTradeNo, State: known.state, Currency: pay.CNY, Total: price}
	if obs := known.payment; obs.TransactionID != "" {
		t.TransactionID, t.Total, t.PayerTotal, t.PaidAt, t.OpenID, t.TradeType, t.BankType = obs.TransactionID, obs.Amount, obs.PayerTotal, obs.PaidAt, obs.OpenID, obs.TradeType, obs.BankType
	}
	return wechatpay.OrderAnswer{State: known.state, Transaction: t, Answer: wechatpay.Answer{ReceivedAt: time.Now().UTC(), KeyID: "K", Body: []byte("{}")}}, nil
}

func (p *platform) CloseOrder(context.Context, pay.Order) (wechatpay.Answer, error) {
	panic("a recovery closes nothing")
}

func (p *platform) QueryRefund(_ context.Context, q wechatpay.RefundQuery) (wechatpay.RefundAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked["refund"]++
	known := p.refunds[q.OutRefundNo]
	switch {
	case p.away != nil:
		return wechatpay.RefundAnswer{}, p.away
	case known == nil:
		return wechatpay.RefundAnswer{}, notExist("RESOURCE_NOT_EXISTS")
	}
	answer := *known
	answer.Answer = wechatpay.Answer{ReceivedAt: time.Now().UTC(), KeyID: "K", Body: []byte("{}")}
	return answer, nil
}

func (p *platform) AbnormalBody(wechatpay.AbnormalRequest) ([]byte, string, error) {
	panic("a recovery drives nothing on")
}

// tick is a second of the past.
func (w *world) tick() time.Time {
	w.clock = w.clock.Add(time.Second)
	return w.clock
}

func (w *world) id() string { return uuid.Must(uuid.NewV7()).String() }

// publish puts what the past told onto the tape, some time later.
func (w *world) publish(lag time.Duration) {
	w.t.Helper()
	rows, err := w.then.sql.QueryContext(context.Background(), `SELECT event_id, mchid, out_trade_no, fact, payload, (payload::json ->> 'time')::timestamptz FROM outbox`)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, rows.Close()) }()
	for rows.Next() {
		var e pay.ToldEvent
		var payload string
		require.NoError(w.t, rows.Scan(&e.EventID, &e.MchID, &e.OutTradeNo, &e.Fact, &payload, &e.CreatedAt))
		if w.seen[e.EventID] {
			continue
		}
		w.seen[e.EventID] = true
		e.Payload, e.StoredAt, e.CreatedAt = []byte(payload), w.clock.Add(lag), e.CreatedAt.UTC()
		w.tape.events = append(w.tape.events, e)
	}
	require.NoError(w.t, rows.Err())
}

// does has a command carried out in the past.
func (w *world) does(c pay.Command, storedAt time.Time) pay.CommandResult {
	w.t.Helper()
	c.ID, c.MchID, c.ReceivedAt = pay.CommandID(w.id()), shop, storedAt
	if c.Deadline.IsZero() {
		c.Deadline = w.clock.Add(time.Hour)
	}
	result, err := w.commands.Execute(context.Background(), c)
	require.NoError(w.t, err)
	w.tape.commands = append(w.tape.commands, pay.StoredCommand{Command: c, StoredAt: storedAt})
	return result
}

func (w *world) create(no pay.OutTradeNo) pay.Command {
	body, err := json.Marshal(map[string]any{
		"out_trade_no": no, "appid": appID, "client": "native", "description": "One pot of tea", "amount_fen": price, "currency": "CNY",
		"attach": "table 7", "time_expire": w.clock.Add(2 * time.Hour),
	})
	require.NoError(w.t, err)
	return pay.Command{Kind: pay.CommandOrderCreate, OutTradeNo: no, Digest: "digest-of-" + string(no), Body: body}
}

func (w *world) place(no pay.OutTradeNo) {
	w.t.Helper()
	w.tick()
	w.does(w.create(no), w.clock)
	w.publish(0)
}

// pays is a payment as WeChat Pay tells of it.
func (w *world) pays(no pay.OutTradeNo, tx pay.TransactionID, fen pay.Fen) pay.Observation {
	obs := pay.Observation{
		Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: w.clock, KeyID: "K", MchID: shop, AppID: appID, OutTradeNo: no, TransactionID: tx,
		Amount: fen, PayerTotal: fen, Currency: pay.CNY, PaidAt: w.clock, OpenID: "o-1", TradeType: "NATIVE", BankType: "OTHERS",
	}
	w.wechat.mu.Lock()
	defer w.wechat.mu.Unlock()
	o := w.wechat.orders[no]
	if o == nil {
		o = &paidOrder{}
		w.wechat.orders[no] = o
	}
	if o.payment.TransactionID == "" { // the first payment stands
		o.state, o.payment = "SUCCESS", obs
	}
	return obs
}

// hears settles a notification in the past, stored when it says.
func (w *world) hears(obs pay.Observation, storedAt time.Time) {
	w.t.Helper()
	w.stores(obs, storedAt)
	_, err := w.then.Settle(context.Background(), []pay.Entry{{Observation: &obs}}, w.policies)
	require.NoError(w.t, err)
}

// stores puts a notification onto the tape.
func (w *world) stores(obs pay.Observation, storedAt time.Time) {
	w.n++
	body := fmt.Sprintf("%s-%d", obs.OutTradeNo, w.n)
	obs.Source = pay.SourceNotification
	w.tape.entries[body] = pay.Entry{Observation: &obs}
	w.tape.packs = append(w.tape.packs, wechatpay.StoredPack{StoredAt: storedAt, Arrivals: []wechatpay.Arrival{{
		Deliveries: 1, Envelope: wechatpay.Envelope{DeliveryID: pay.DeliveryID(w.id()), MchID: shop, Kind: pay.DeliveryNotifyV3, ReceivedAt: obs.ObservedAt, Body: []byte(body)},
	}}})
}

// learns settles the answer to a question in the past, which no stream keeps.
func (w *world) learns(obs pay.Observation) {
	w.t.Helper()
	obs.Source = pay.SourceQuery
	_, err := w.then.Settle(context.Background(), []pay.Entry{{Observation: &obs}}, w.policies)
	require.NoError(w.t, err)
}

func (w *world) closed(no pay.OutTradeNo) pay.Observation {
	w.wechat.mu.Lock()
	defer w.wechat.mu.Unlock()
	if o := w.wechat.orders[no]; o != nil && o.payment.TransactionID == "" {
		o.state = "CLOSED"
	}
	return pay.Observation{Kind: pay.ObservedClosed, ObservedAt: w.clock, KeyID: "K", MchID: shop, AppID: appID, OutTradeNo: no}
}

// wants is a refund.create.
func (w *world) wants(no pay.OutTradeNo, tx pay.TransactionID, refund pay.OutRefundNo, fen pay.Fen) pay.Command {
	body, err := json.Marshal(map[string]any{"out_refund_no": refund, "out_trade_no": no, "transaction_id": tx, "amount_fen": fen, "reason": "cold"})
	require.NoError(w.t, err)
	return pay.Command{Kind: pay.CommandRefundCreate, OutTradeNo: no, OutRefundNo: refund, Digest: "digest-of-" + string(refund), Body: body}
}

// refunds is where WeChat Pay sees a refund.
func (w *world) refunds(r pay.Refund, state pay.RefundState) pay.Observation {
	status := map[pay.RefundState]wechatpay.RefundStatus{
		pay.RefundProcessing: wechatpay.RefundProcessing, pay.RefundSucceeded: wechatpay.RefundSuccess, pay.RefundClosed: wechatpay.RefundClosed, pay.RefundAbnormal: wechatpay.RefundAbnormal,
	}[state]
	answer := wechatpay.RefundAnswer{
		Status: status, RefundID: "5000" + string(r.OutRefundNo), OutRefundNo: r.OutRefundNo, TransactionID: r.TransactionID, OutTradeNo: r.OutTradeNo, Amount: r.Amount, Total: price,
		ReceivedAccount: "a purse",
	}
	if state == pay.RefundSucceeded {
		answer.SucceededAt = w.clock
	}
	w.wechat.mu.Lock()
	w.wechat.refunds[r.OutRefundNo] = &answer
	w.wechat.mu.Unlock()
	answer.Answer.ReceivedAt, answer.Answer.KeyID = w.clock, "K"
	return answer.Observation(shop, pay.SourceNotification)
}

// fails ends a refund that WeChat Pay never took.
func (w *world) fails(r pay.Refund) {
	w.t.Helper()
	_, err := w.then.sql.ExecContext(context.Background(), `INSERT INTO refund_attempts (mchid, out_refund_no, attempt, started_at, finished_at, outcome, code) VALUES ($1, $2, 1, $3, $3, 'rejected', 'INVALID_REQUEST')`,
		string(shop), string(r.OutRefundNo), w.clock.Add(-time.Hour))
	require.NoError(w.t, err)
	w.learns(pay.Observation{
		Kind: pay.ObservedRefundMissing, ObservedAt: w.clock, MchID: shop, OutTradeNo: r.OutTradeNo, TransactionID: r.TransactionID, OutRefundNo: r.OutRefundNo,
		AskedAt: w.clock, Code: "INVALID_REQUEST", Reason: "no",
	})
}

func (w *world) refund(no pay.OutRefundNo) pay.Refund { return w.refundIn(w.then, no) }

func (w *world) refundIn(l *ledger, no pay.OutRefundNo) pay.Refund {
	w.t.Helper()
	r, found, err := l.Refund(context.Background(), shop, no)
	require.NoError(w.t, err)
	require.True(w.t, found, no)
	return r
}

// recover recovers the restored books from the first second of the past.
func (w *world) recover() pay.Recovery {
	w.t.Helper()
	w.tape.ordered()
	r, err := w.service.Begin(context.Background(), noon, "token:test", "a test")
	require.NoError(w.t, err)
	for r.Phase != pay.RecoveryDone {
		r, err = w.service.Step(context.Background(), r.ID, "token:test", "a test")
		require.NoError(w.t, err)
	}
	return r
}

// books are what must be the same, of the orders of one past.
func (w *world) books(l *ledger, prefix string) map[string][]string {
	w.t.Helper()
	like := prefix + "%"
	return map[string][]string{
		"orders": w.sql(l, `SELECT concat_ws('|', out_trade_no, amount_fen, attach, digest, state, created_at, expires_at, encode(prepay_request, 'escape'), transaction_id, paid_at, late, closed_at,
			failure_code, failure_reason) FROM orders WHERE out_trade_no LIKE $1 ORDER BY 1`, like),
		"payments": w.sql(l, `SELECT concat_ws('|', transaction_id, out_trade_no, amount_fen, payer_total_fen, openid, paid_at, refunded_fen, reserved_fen, overrun_fen)
			FROM payments WHERE out_trade_no LIKE $1 ORDER BY 1`, like),
		"refunds": w.sql(l, `SELECT concat_ws('|', out_refund_no, out_trade_no, transaction_id, amount_fen, currency, reason, funds, origin, digest, state, succeeded_at, failure_code,
			CASE origin WHEN 'command' THEN created_at END) FROM refunds WHERE out_trade_no LIKE $1 ORDER BY 1`, like),
		"anomalies": w.sql(l, `SELECT concat_ws('|', transaction_id, kind, out_refund_no, out_trade_no, policy, state, expected_fen, actual_fen) FROM anomalies WHERE out_trade_no LIKE $1 ORDER BY 1`, like),
		"commands":  w.sql(l, `SELECT concat_ws('|', command_id, kind, out_trade_no, out_refund_no, outcome) FROM commands WHERE out_trade_no LIKE $1 ORDER BY 1`, like),
		"letters":   w.sql(l, `SELECT concat_ws('|', delivery_id, state) FROM dead_letters WHERE out_trade_no LIKE $1 AND state <> 'resolved' ORDER BY 1`, like),
	}
}

// asksNow is the reconciler after the recovery: it asks about every refund that
// is not resolved, and never sends one that WeChat Pay has.
func (w *world) asksNow(prefix string) {
	w.t.Helper()
	for _, no := range w.sql(w.now, `SELECT out_refund_no FROM refunds WHERE out_trade_no LIKE $1 AND state IN ('requested', 'processing', 'abnormal')`, prefix+"%") {
		r := w.refundIn(w.now, pay.OutRefundNo(no))
		require.Equal(w.t, pay.APIRefundQuery, r.CheckAPI, "%s is asked about before it is sent", no)
		answer, err := w.wechat.QueryRefund(context.Background(), wechatpay.RefundQuery{OutRefundNo: r.OutRefundNo})
		if err != nil {
			continue
		}
		obs := answer.Observation(shop, pay.SourceQuery)
		_, err = w.now.Settle(context.Background(), []pay.Entry{{Observation: &obs}}, w.policies)
		require.NoError(w.t, err)
	}
}

// same insists that both books are the same, and that nobody will be told anything.
func (w *world) same(prefix string) {
	w.t.Helper()
	w.asksNow(prefix)
	then, now := w.books(w.then, prefix), w.books(w.now, prefix)
	for what := range then {
		if what == "commands" && w.outcomesMayDiffer {
			continue
		}
		require.Equal(w.t, then[what], now[what], what)
	}
	for _, id := range w.sql(w.now, `SELECT event_id FROM outbox WHERE out_trade_no LIKE $1`, prefix+"%") {
		require.True(w.t, w.seen[id], "a new event")
	}
	require.Empty(w.t, w.sql(w.now, `SELECT o.out_trade_no FROM orders AS o JOIN published AS p USING (mchid, out_trade_no)
		WHERE o.out_trade_no LIKE $1 AND o.sequence < (p.payload::json -> 'data' ->> 'sequence')::bigint`, prefix+"%"))
}

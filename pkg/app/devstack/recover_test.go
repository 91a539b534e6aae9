package devstack

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit/provision"
)

// hour is a shop's hour around a backup.
type hour struct {
	*visitor
	db     *sql.DB
	worker *bus.Bus // to look at the streams
	api    *bus.Bus
	dump   string
	began  time.Time // when the backup was begun

	refundsEnd map[string]string // by number: where each refund stood at the end of the hour
}

func beginHour(t *testing.T) *hour {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // as root, PostgreSQL runs as another user, who must pass through
		require.NoError(t, os.Chmod(d, 0o711))
	}
	stack, err := Start(t.Context(), Options{Dir: dir, FreePort: true, Console: true, Speed: demoSpeed, RefundSpeed: demoSpeed, Log: testWriter{t}})
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	h := &hour{visitor: visit(t, stack), dump: filepath.Join(t.TempDir(), "fenflow.dump")}
	h.worker, h.api = h.connect("worker"), h.connect("api")
	h.open()
	return h
}

func (h *hour) connect(role string) *bus.Bus {
	b, err := bus.Connect(h.t.Context(), bus.Config{URL: h.stack.NATSURL(), Role: role, Password: h.stack.passwords[role], Name: "test " + role})
	require.NoError(h.t, err)
	h.t.Cleanup(b.Close)
	return b
}

func (h *hour) open() {
	var err error
	h.db, err = sql.Open("postgres", h.stack.postgres.URL(databaseName))
	require.NoError(h.t, err)
	db := h.db
	h.t.Cleanup(func() { _ = db.Close() })
}

// place asks for an order as the shop does, and gives the HTTP status.
func (h *hour) ask(path string, body any) int {
	h.t.Helper()
	var raw []byte
	if body != nil {
		var err error
		raw, err = json.Marshal(body)
		require.NoError(h.t, err)
	}
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.stack.APIURL()+path, bytes.NewReader(raw))
	require.NoError(h.t, err)
	r.Header.Set("Authorization", "Bearer "+h.stack.merchant.APIKey)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Prefer", "wait=20")
	answer, err := h.shop.client.Do(r)
	require.NoError(h.t, err)
	require.NoError(h.t, answer.Body.Close())
	return answer.StatusCode
}

func (h *hour) control(path string, body any) {
	h.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(h.t, err)
	status, answer, err := h.platform.call(h.t.Context(), http.MethodPost, path, raw)
	require.NoError(h.t, err)
	require.Less(h.t, status, 300, string(answer))
}

func (h *hour) giveBack(no, refund string, fen int64) {
	h.t.Helper()
	require.NoError(h.t, h.shop.giveBack(h.t.Context(), newRefund{OutTradeNo: no, OutRefundNo: refund, AmountFen: fen, Reason: "cold"}))
}

// text is the first column of a statement, its rows joined.
func (h *hour) text(statement string, args ...any) string {
	rows, err := h.db.QueryContext(h.t.Context(), statement, args...)
	if err != nil {
		return "error: " + err.Error()
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		var line sql.NullString
		if err := rows.Scan(&line); err != nil {
			return "error: " + err.Error()
		}
		lines = append(lines, line.String)
	}
	if err := rows.Err(); err != nil {
		return "error: " + err.Error()
	}
	return strings.Join(lines, "\n")
}

func (h *hour) until(want, statement string, args ...any) {
	h.t.Helper()
	last := ""
	require.Eventually(h.t, func() bool { last = h.text(statement, args...); return last == want }, 2*patience, pollEvery, "%s: want %q", statement, want)
}

func (h *hour) untilOrder(no, state string) {
	h.t.Helper()
	h.until(state, `SELECT state FROM orders WHERE out_trade_no = $1`, no)
}

func (h *hour) untilRefund(no, state string) {
	h.t.Helper()
	h.until(state, `SELECT state FROM refunds WHERE out_refund_no = $1`, no)
}

// quiet waits until nothing is under way but what is meant to be.
func (h *hour) quiet() {
	h.t.Helper()
	h.until("0", `SELECT count(*) FROM outbox`)
	require.Eventually(h.t, func() bool {
		summary, err := h.platform.deliveries(h.t.Context())
		if err != nil || summary.Pending > 0 {
			return false
		}
		health, err := h.worker.Tidy(h.t.Context(), time.Now())
		return err == nil && !slices.ContainsFunc(health, func(s bus.StreamHealth) bool { return s.Pending > 0 })
	}, patience, pollEvery)
	h.until("0", `SELECT count(*) FROM outbox`)
}

// backUp dumps the books as an operator does.
func (h *hour) backUp() (began time.Time) {
	h.t.Helper()
	began = time.Now()
	h.postgres("pg_dump", "--format=custom", "--file="+h.dump, h.stack.postgres.URL(databaseName))
	return began
}

func (h *hour) postgres(program string, args ...string) {
	h.t.Helper()
	bin, err := provision.Postgres(h.t.Context(), testWriter{h.t})
	require.NoError(h.t, err)
	out, err := exec.CommandContext(h.t.Context(), filepath.Join(bin, program), args...).CombinedOutput()
	require.NoError(h.t, err, string(out))
}

// restore puts the dump in the place of the books, while nobody uses them.
func (h *hour) restore() {
	h.t.Helper()
	h.stack.Halt("reconciler", "worker", "console")
	require.NoError(h.t, h.db.Close())
	require.NoError(h.t, h.stack.postgres.DropDatabase(h.t.Context(), databaseName))
	require.NoError(h.t, h.stack.postgres.CreateDatabase(h.t.Context(), databaseName))
	h.postgres("pg_restore", "--exit-on-error", "--dbname="+h.stack.postgres.URL(databaseName), h.dump)
	h.open()
}

// recover runs the operator's command as a program of its own.
func (h *hour) recover(ctx context.Context, since time.Time) (exit int, said string) {
	h.t.Helper()
	self, err := os.Executable()
	require.NoError(h.t, err)
	cmd := exec.CommandContext(ctx, self, "role", "fenflow", "recover", "--since", since.UTC().Format(time.RFC3339Nano), "--reason", "restored the backup", "--json")
	cmd.Env = append(os.Environ(), "FENFLOW_URL="+h.stack.ConsoleURL(), "FENFLOW_TOKEN="+h.stack.Token())
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		require.NoError(h.t, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// books are what must be the same after a recovery. Left out are: sequences, which
// may only grow; times of observing, which are those of the second observation;
// what a buyer pays with, and when to ask next; a refund's bytes, made before it is
// sent, which the recovered ones are not again; the calls made.
func (h *hour) books() map[string]string {
	return map[string]string{
		"orders": h.text(`SELECT concat_ws('|', mchid, out_trade_no, appid, client, protocol, description, amount_fen, currency, openid, attach, digest, state,
			created_at, expires_at, encode(sha256(prepay_request), 'hex'), transaction_id, paid_at, late, closed_at, failure_code, failure_reason) FROM orders ORDER BY 1`),
		"payments": h.text(`SELECT concat_ws('|', mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type, bank_type, paid_at,
			refunded_fen, reserved_fen, overrun_fen) FROM payments ORDER BY 1`),
		"refunds": h.text(`SELECT concat_ws('|', mchid, out_refund_no, out_trade_no, transaction_id, refund_id, amount_fen, currency, reason, funds, origin, digest, state,
			succeeded_at, received_account, failure_code, CASE origin WHEN 'command' THEN created_at END) FROM refunds ORDER BY 1`),
		"anomalies": h.text(`SELECT concat_ws('|', mchid, transaction_id, kind, out_refund_no, out_trade_no, policy, state, expected_fen, actual_fen) FROM anomalies ORDER BY 1`),
		"commands":  h.text(`SELECT concat_ws('|', mchid, command_id, kind, out_trade_no, out_refund_no, digest, outcome) FROM commands ORDER BY 1`),
		"letters":   h.text(`SELECT concat_ws('|', mchid, delivery_id, reason, state, out_trade_no, transaction_id, detail) FROM dead_letters ORDER BY 1`),
		"archive":   h.text(`SELECT concat_ws('|', mchid, delivery_id) FROM deliveries WHERE kind <> 'answer' ORDER BY 1`),
		"published": h.text(`SELECT concat_ws('|', event_id, fact, payload) FROM published ORDER BY 1`),
	}
}

// told are all events that were ever published, repeats included.
func (h *hour) told() []string {
	h.t.Helper()
	part, err := h.worker.Since(h.t.Context(), bus.StreamEvent, time.Time{})
	require.NoError(h.t, err)
	events, err := h.worker.ReadTold(h.t.Context(), part, 1_000_000)
	require.NoError(h.t, err)
	ids := make([]string, 0, len(events))
	for _, e := range events {
		ids = append(ids, string(e.OutTradeNo)+" "+string(e.Fact)+" "+e.EventID)
	}
	return ids
}

// refunds are those of the platform: its own word on what left.
func (h *hour) platformRefunds() map[string]string {
	h.t.Helper()
	ledger, err := h.platform.ledger(h.t.Context())
	require.NoError(h.t, err)
	all := map[string]string{}
	for _, r := range ledger.Refunds {
		_, doubled := all[r.OutRefundNo]
		require.False(h.t, doubled, r.OutRefundNo)
		all[r.OutRefundNo] = fmt.Sprint(r.TransactionID, " ", r.AmountFen, " ", r.Status)
	}
	return all
}

// before is what stood at the backup, and goes on after it.
func (h *hour) before() {
	for _, no := range []string{"BEFORE-PAID", "BEFORE-BACK", "BEFORE-SLOW", "BEFORE-OPEN", "BEFORE-SHUT", "BEFORE-LATE", "BEFORE-LOST"} {
		h.order(no)
	}
	for _, no := range []string{"BEFORE-PAID", "BEFORE-BACK", "BEFORE-SLOW"} {
		h.pay(no, nil)
	}
	for _, no := range []string{"BEFORE-PAID", "BEFORE-BACK", "BEFORE-SLOW"} {
		h.untilOrder(no, "paid")
	}
	h.control("/control/refunds/R-SLOW", map[string]any{"status": "PROCESSING"})
	h.giveBack("BEFORE-SLOW", "R-SLOW", 40)
	h.untilRefund("R-SLOW", "processing")
	h.quiet()
}

// after is what the backup knows nothing of.
func (h *hour) after() {
	h.pay("BEFORE-OPEN", map[string]any{"duplicates": 2})
	h.lost("BEFORE-LOST")
	h.closesLate("BEFORE-LATE")
	require.Equal(h.t, http.StatusOK, h.ask("/v1/orders/BEFORE-SHUT/close", nil))
	h.giveBack("BEFORE-BACK", "R-BACK", 60)
	h.control("/control/refunds/R-SLOW", map[string]any{"status": "SUCCESS", "notify": "none"})
	for i := range 12 {
		no := fmt.Sprintf("PLAIN-%02d|*", i)
		h.order(no)
		h.pay(url.PathEscape(no), map[string]any{"duplicates": i % 3, "forged": i % 2})
	}
	h.order("AFTER-OPEN")
	h.order("AFTER-LOST")
	h.lost("AFTER-LOST")
	h.order("AFTER-LATE")
	h.closesLate("AFTER-LATE")
	h.order("AFTER-SHUT")
	require.Equal(h.t, http.StatusOK, h.ask("/v1/orders/AFTER-SHUT/close", nil))
	h.order("AFTER-WRONG")
	h.setFault(simulator.Fault{Kind: simulator.FaultAmountDiffers, Count: 1, OutTradeNo: "AFTER-WRONG"})
	h.pay("AFTER-WRONG", nil)
	h.order("AFTER-TWICE")
	h.setFault(simulator.Fault{Kind: simulator.FaultSecondPayment, Count: 1, OutTradeNo: "AFTER-TWICE"})
	h.pay("AFTER-TWICE", nil)
	h.refuses("AFTER-FAIL")
	h.expires("AFTER-GONE")
	require.Equal(h.t, http.StatusConflict, h.ask("/v1/orders", newOrder{OutTradeNo: "AFTER-OPEN", AppID: h.stack.merchant.Appid, Client: "native", Description: "Another pot", AmountFen: 7, Currency: "CNY"}))
	h.refundsAfter()
}

// lost pays an order of which no notification arrives.
func (h *hour) lost(no string) {
	h.setFault(simulator.Fault{Kind: simulator.FaultNoticeLost, Count: 1, OutTradeNo: no})
	h.pay(no, nil)
}

// closesLate closes an order which is paid all the same, later.
func (h *hour) closesLate(no string) {
	require.Equal(h.t, http.StatusOK, h.ask("/v1/orders/"+no+"/close", nil))
	h.setFault(simulator.Fault{Kind: simulator.FaultSuccessAfterClose, Count: 1, OutTradeNo: no})
	h.pay(no, nil)
}

// refuses has an order that WeChat Pay refuses for good: its payer is of another app.
func (h *hour) refuses(no string) {
	status, answer, err := h.platform.call(h.t.Context(), http.MethodPost, "/control/openids", []byte(`{"appid":"wx0000000000000000"}`))
	require.NoError(h.t, err)
	require.Equal(h.t, http.StatusOK, status)
	var issued struct{ Openid string }
	require.NoError(h.t, json.Unmarshal(answer, &issued))
	require.Equal(h.t, http.StatusUnprocessableEntity, h.ask("/v1/orders", newOrder{
		OutTradeNo: no, AppID: h.stack.merchant.Appid, Client: "jsapi", Description: "One pot of tea", AmountFen: 100, Currency: "CNY", OpenID: issued.Openid,
	}))
	h.untilOrder(no, "failed")
}

// expires has an order whose command reached no worker in time.
func (h *hour) expires(no string) {
	id := uuid.Must(uuid.NewV7()).String()
	now := time.Now().UTC()
	body := fmt.Sprintf(`{"out_trade_no":%q,"appid":%q,"client":"native","description":"One pot of tea","amount_fen":100,"currency":"CNY","time_expire":%q}`,
		no, h.stack.merchant.Appid, now.Add(2*time.Hour).Format(time.RFC3339))
	require.NoError(h.t, h.api.PublishCommand(h.t.Context(), pay.Command{
		ID: pay.CommandID(id), MchID: pay.MchID(h.stack.merchant.Mchid), Kind: pay.CommandOrderCreate, OutTradeNo: pay.OutTradeNo(no), Digest: "0" + strings.Repeat("9f", 31) + "0",
		Body: []byte(body), ReceivedAt: now.Add(-time.Minute), Deadline: now.Add(-time.Second),
	}))
	h.until("expired", `SELECT outcome FROM commands WHERE command_id = $1`, id)
}

func (h *hour) refundsAfter() {
	for _, no := range []string{"PLAIN-00|*", "PLAIN-01|*", "PLAIN-02|*", "PLAIN-03|*", "PLAIN-04|*", "PLAIN-05|*"} {
		h.untilOrder(no, "paid")
	}
	// In two parts, of which one ends and one does not.
	h.giveBack("PLAIN-00|*", "R-PART-1", 30)
	h.untilRefund("R-PART-1", "succeeded")
	h.control("/control/refunds/R-PART-2", map[string]any{"status": "PROCESSING"})
	h.giveBack("PLAIN-00|*", "R-PART-2", 30)
	h.untilRefund("R-PART-2", "processing")
	require.Equal(h.t, http.StatusUnprocessableEntity, h.ask("/v1/refunds", newRefund{OutTradeNo: "PLAIN-00|*", OutRefundNo: "R-PART-3", AmountFen: 41}), "too much")
	// Closed by WeChat Pay, and asked for once more.
	h.control("/control/refunds/R-SHUT", map[string]any{"status": "CLOSED"})
	h.giveBack("PLAIN-01|*", "R-SHUT", 100)
	h.untilRefund("R-SHUT", "closed")
	h.giveBack("PLAIN-01|*", "R-SHUT-2", 100)
	h.untilRefund("R-SHUT-2", "succeeded")
	// Part of it went back by hand, which nobody told us; so the whole is refused for good, and the rest asked for.
	h.control("/control/orders/"+url.PathEscape("PLAIN-02|*")+"/refund", map[string]any{"amount_fen": 60, "notify": "none"})
	h.giveBack("PLAIN-02|*", "R-FAIL", 100)
	h.untilRefund("R-FAIL", "failed")
	h.giveBack("PLAIN-02|*", "R-FAIL-2", 40)
	h.untilRefund("R-FAIL-2", "succeeded")
	// By hand, and told.
	h.control("/control/orders/"+url.PathEscape("PLAIN-03|*")+"/refund", map[string]any{"amount_fen": 10})
	h.until("succeeded", `SELECT state FROM refunds WHERE out_trade_no = 'PLAIN-03|*'`)
	// Abnormal, and left so.
	h.control("/control/refunds/R-ABNORMAL", map[string]any{"status": "ABNORMAL"})
	h.giveBack("PLAIN-04|*", "R-ABNORMAL", 50)
	h.untilRefund("R-ABNORMAL", "abnormal")
	// By its payment alone, of which only a question told.
	h.untilOrder("AFTER-LOST", "paid")
	transaction := h.text(`SELECT transaction_id FROM orders WHERE out_trade_no = 'AFTER-LOST'`)
	require.NoError(h.t, h.shop.giveBack(h.t.Context(), newRefund{TransactionID: transaction, OutRefundNo: "R-LOST", AmountFen: 100, Reason: "cold"}))
	h.untilRefund("R-LOST", "succeeded")
	require.Equal(h.t, http.StatusUnprocessableEntity, h.ask("/v1/refunds", newRefund{OutTradeNo: "AFTER-OPEN", OutRefundNo: "R-UNPAID", AmountFen: 1}), "not paid")
}

// settled waits for the end of everything that after began.
func (h *hour) settled() {
	for no, state := range map[string]string{
		"BEFORE-OPEN": "paid", "BEFORE-LOST": "paid", "BEFORE-LATE": "paid", "BEFORE-SHUT": "closed", "AFTER-OPEN": "awaiting_payment", "AFTER-LOST": "paid",
		"AFTER-LATE": "paid", "AFTER-SHUT": "closed", "AFTER-WRONG": "awaiting_payment", "AFTER-TWICE": "paid", "AFTER-FAIL": "failed", "AFTER-GONE": "",
	} {
		h.untilOrder(no, state)
	}
	h.until("0", `SELECT count(*) FROM orders WHERE out_trade_no LIKE 'PLAIN%' AND state <> 'paid'`)
	h.until("t t", `SELECT string_agg(late::text::char, ' ') FROM orders WHERE out_trade_no LIKE '%-LATE'`)
	for no, state := range map[string]string{"R-BACK": "succeeded", "R-SLOW": "succeeded"} {
		h.untilRefund(no, state)
	}
	h.until("succeeded", `SELECT state FROM refunds WHERE out_trade_no = 'AFTER-TWICE' AND origin = 'policy'`)
	h.quiet()
}

// A restore of an old backup and a recovery end with the same books, nobody is told
// anything twice or anew, and nothing is given back twice.
func TestRecover_ends_with_the_same_books_and_no_new_events(t *testing.T) {
	t.Parallel()
	h := beginHour(t)
	h.loseAnHour(func(began time.Time) {
		exit, said := h.recover(t.Context(), began)
		require.Zero(t, exit, said)
	})
	// Once more changes nothing at all.
	again, told := h.books(), h.told()
	exit, said := h.recover(t.Context(), h.began)
	require.Zero(t, exit, said)
	h.quiet()
	require.Equal(t, again, h.books())
	require.Equal(t, told, h.told())
	h.goesOn()
}

// The same, though the worker and the operator's command die again and again on the way.
func TestRecover_goes_on_after_whatever_dies(t *testing.T) {
	t.Parallel()
	h := beginHour(t)
	h.loseAnHour(func(began time.Time) {
		for n := range 4 {
			ctx, kill := context.WithCancel(t.Context())
			ended := make(chan int, 1)
			go func() {
				exit, _ := h.recover(ctx, began)
				ended <- exit
			}()
			// Somewhere in a step, and in another place each time.
			h.until("1", `SELECT count(*) FROM recoveries WHERE leased_until > now()`)
			select {
			case <-time.After(time.Duration(40+60*n) * time.Millisecond):
			case <-t.Context().Done():
			}
			require.NoError(t, h.stack.Kill("worker"))
			kill()
			<-ended
			// Whoever died keeps its turn for as long as it may have been alive.
			h.until("0", `SELECT count(*) FROM recoveries WHERE leased_until > now()`)
		}
		exit, said := h.recover(t.Context(), began)
		require.Zero(t, exit, said)
	})
	require.GreaterOrEqual(t, h.stack.Restarts(), 4)
	h.goesOn()
}

// loseAnHour plays an hour, puts the books of before in its place, has them recovered,
// and compares.
func (h *hour) loseAnHour(bringBack func(began time.Time)) {
	h.t.Helper()
	h.before()
	h.began = h.backUp()
	h.after()
	h.settled()
	books, told, refunds := h.books(), h.told(), h.platformRefunds()
	h.refundsEnd = map[string]string{}
	for line := range strings.SplitSeq(h.text(`SELECT concat_ws(' ', out_refund_no, state) FROM refunds`), "\n") {
		no, state, _ := strings.Cut(line, " ")
		h.refundsEnd[no] = state
	}
	calls, err := h.platform.calls(h.t.Context())
	require.NoError(h.t, err)

	h.restore()
	lost := h.books()
	require.NotEqual(h.t, books["orders"], lost["orders"])
	require.NoError(h.t, h.stack.Resume(h.t.Context()))
	require.Eventually(h.t, func() bool {
		err := probe(h.t.Context(), httpURL(h.stack.ports.workerAdmin)+"/readyz")
		return err != nil && strings.Contains(err.Error(), "FEN-3015")
	}, patience, pollEvery)
	// While nobody may move the books, WeChat Pay goes on telling, and is heard.
	h.pay("AFTER-OPEN", nil)
	require.Eventually(h.t, func() bool {
		summary, err := h.platform.deliveries(h.t.Context())
		return err == nil && summary.Pending == 0
	}, patience, pollEvery)
	require.ErrorContains(h.t, probe(h.t.Context(), httpURL(h.stack.ports.reconAdmin)+"/readyz"), "503")
	require.Equal(h.t, lost, h.books(), "nobody moved them")
	bringBack(h.began)
	require.NoError(h.t, h.stack.AwaitReady(h.t.Context()))

	h.untilOrder("AFTER-OPEN", "paid")
	h.settledAgain(books, told, refunds)
	callsNow, err := h.platform.calls(h.t.Context())
	require.NoError(h.t, err)
	require.Equal(h.t, calls["refund"], callsNow["refund"], "no refund was sent again")
	require.Equal(h.t, calls["prepay"], callsNow["prepay"], "no buyer's code was taken out of use")
}

// settledAgain compares what is with what was, but for the order that was paid since.
func (h *hour) settledAgain(books map[string]string, told []string, refunds map[string]string) {
	h.t.Helper()
	for no, state := range h.refundsEnd {
		h.untilRefund(no, state)
	}
	h.quiet()
	without := func(text, what string) []string {
		return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.Contains(line, what) })
	}
	fresh := h.text(`SELECT concat_ws(' ', transaction_id, delivery_id) FROM deliveries WHERE out_trade_no = 'AFTER-OPEN' AND kind <> 'answer'`)
	transaction, delivery, _ := strings.Cut(fresh, " ")
	now := h.books()
	for what, was := range books {
		if what == "published" {
			continue
		}
		want, have := without(was, "AFTER-OPEN"), without(now[what], "AFTER-OPEN")
		have = slices.DeleteFunc(have, func(line string) bool { return strings.Contains(line, transaction) || strings.Contains(line, delivery) })
		require.Equal(h.t, want, have, what)
	}
	paidSince := h.text(`SELECT concat_ws(' ', out_trade_no, fact, event_id) FROM published WHERE out_trade_no = 'AFTER-OPEN' AND fact = 'order.paid'`)
	require.Equal(h.t, append(slices.Clone(told), paidSince), h.told(), "nothing was told again, and nothing anew")
	for no, was := range refunds {
		require.Equal(h.t, was, h.platformRefunds()[no], no)
	}
	require.Len(h.t, h.platformRefunds(), len(refunds))
	for line := range strings.SplitSeq(h.text(`SELECT concat_ws(' ', o.out_trade_no, o.sequence, max((p.payload::json -> 'data' ->> 'sequence')::bigint))
		FROM orders AS o JOIN published AS p USING (mchid, out_trade_no) GROUP BY o.out_trade_no, o.sequence`), "\n") {
		var no string
		var sequence, highest int64
		_, err := fmt.Sscan(line, &no, &sequence, &highest)
		require.NoError(h.t, err)
		require.GreaterOrEqual(h.t, sequence, highest, "subscribers keep the highest: %s", no)
	}
	require.Regexp(h.t, `recovery.begin`, h.text(`SELECT DISTINCT action FROM audit WHERE action LIKE 'recovery%' AND actor = 'token:devstack' ORDER BY 1`))
}

// goesOn: what was under way ends, and new orders are placed, paid and given back.
func (h *hour) goesOn() {
	h.t.Helper()
	h.control("/control/refunds/R-PART-2", map[string]any{"status": "SUCCESS", "notify": "none"})
	h.untilRefund("R-PART-2", "succeeded")
	h.order("LATER-0001")
	h.pay("LATER-0001", nil)
	h.untilOrder("LATER-0001", "paid")
	h.giveBack("LATER-0001", "R-LATER", 100)
	h.untilRefund("R-LATER", "succeeded")
	h.giveBack("PLAIN-00|*", "R-PART-4", 40)
	h.untilRefund("R-PART-4", "succeeded")
	repeated := h.subscriber.received()
	require.Zero(h.t, repeated.repeated)
	require.Empty(h.t, repeated.bad)
}

package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

// buyers come to a mini program and to an app of one shop, at the same time, while
// its workers are killed.
type buyers struct {
	t         *testing.T
	stack     *Stack
	books     *books
	shop      *shop
	platform  *platform
	mini, app string
	steps     atomic.Int64
}

// who is one of them.
type who struct {
	user     string
	sessions []string // from before their accounts were merged, too
	orders   []string
}

const people = 7

// However often workers die in the middle, a buyer with one unionid ends with one
// account, nobody sees another's order, and what was paid once is paid once.
func TestBuyers_keep_their_own_orders_and_pay_once_while_workers_are_killed(t *testing.T) {
	t.Parallel()
	stack, err := Start(t.Context(), Options{Dir: t.TempDir(), FreePort: true, Speed: demoSpeed, Log: testWriter{t}})
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	b := welcome(t, stack)
	b.secondWorker()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	all := make([]who, people)
	var group errgroup.Group
	group.SetLimit(10)
	for i := range all {
		all[i].user = fmt.Sprintf("buyer-%d", i)
		group.Go(func() error { return b.buys(ctx, &all[i]) })
	}
	require.NoError(t, group.Wait())
	require.GreaterOrEqual(t, stack.Restarts(), 4)
	b.requireOnePaymentEach(ctx, all)
	b.requireNobodySeesAnothers(ctx, all)
}

func welcome(t *testing.T, s *Stack) *buyers {
	t.Helper()
	books, err := openBooks(s)
	require.NoError(t, err)
	t.Cleanup(books.close)
	client := &http.Client{Timeout: 20 * time.Second}
	return &buyers{
		t: t, stack: s, books: books, shop: &shop{api: s.APIURL(), key: s.merchant.APIKey, client: client},
		platform: &platform{base: s.SimulatorURL(), client: client}, mini: s.appidOf(weixin.KindMiniProgram), app: s.appidOf(weixin.KindApp),
	}
}

func (b *buyers) secondWorker() {
	b.t.Helper()
	port, err := scratch.ReservePort()
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = port.Release() })
	env := append(b.stack.Environment("worker"), "FENFLOW_LISTEN_ADMIN="+address(port.Number), "FENFLOW_CONFIG="+b.stack.ConfigFile("worker"))
	require.NoError(b.t, b.stack.role(b.t.Context(), "worker2", env, "role", "worker"))
	require.NoError(b.t, b.stack.await(b.t.Context(), "worker2", httpURL(port.Number)+"/readyz"))
}

// step counts what buyers have done; at each 10th one of the workers is killed, in
// turn, and whatever was under way in it is left half done.
func (b *buyers) step() {
	const every = 10
	if n := b.steps.Add(1); n%every == 0 {
		_ = b.stack.Kill([]string{"worker", "worker2"}[n/every%2]) // it may be down already
	}
}

// buys is a life of a buyer: they are known without a unionid first, then with one
// through two apps at once; then they order, find their credential run out, and pay.
func (b *buyers) buys(ctx context.Context, w *who) error {
	if _, err := b.post(ctx, b.platform.base+"/control/weixin/users", "", map[string]any{"user": w.user}, nil); err != nil {
		return err
	}
	early, err := b.login(ctx, w, b.mini, "mini", true)
	if err != nil {
		return err
	}
	another, err := b.login(ctx, w, b.app, "app", true)
	if err != nil {
		return err
	}
	if err := b.order(ctx, w, map[string]any{"client": "app", "appid": b.app, "account_id": another}); err != nil {
		return err
	}
	if err := b.order(ctx, w, map[string]any{"client": "native", "appid": b.mini, "account_id": early}); err != nil {
		return err
	}
	var both errgroup.Group
	ids := make([]string, 4)
	for i := range ids {
		both.Go(func() (err error) {
			copied := who{user: w.user}
			ids[i], err = b.login(ctx, &copied, []string{b.mini, b.app}[i%2], []string{"mini", "app"}[i%2], false)
			return err
		})
	}
	if err := both.Wait(); err != nil {
		return err
	}
	final, err := b.login(ctx, w, b.mini, "mini", false)
	if err != nil {
		return err
	}
	if also, err := b.login(ctx, w, b.app, "app", false); err != nil || also != final {
		return errors.Join(err, fmt.Errorf("%s has the accounts %s and %s", w.user, final, also))
	}
	if err := b.order(ctx, w, map[string]any{"client": "mini_program", "appid": b.mini, "openid": weixin.OpenidOf(b.mini, w.user)}); err != nil {
		return err
	}
	for _, no := range w.orders {
		if err := b.pays(ctx, w, no); err != nil {
			return fmt.Errorf("%s, order %s: %w", w.user, no, err)
		}
	}
	return nil
}

func (b *buyers) login(ctx context.Context, w *who, appid, kind string, alone bool) (string, error) {
	for {
		var code struct{ Code string }
		if _, err := b.post(ctx, b.platform.base+"/control/weixin/codes", "", map[string]any{"appid": appid, "user": w.user, "kind": kind, "without_unionid": alone}, &code); err != nil {
			return "", err
		}
		var in struct {
			Session   string
			AccountID string `json:"account_id"`
		}
		status, err := b.post(ctx, b.stack.FrontURL()+"/wx/login/"+appid, "", map[string]any{"code": code.Code}, &in)
		if err == nil && status == http.StatusOK {
			b.step()
			w.sessions = append(w.sessions, in.Session)
			return in.AccountID, nil
		}
		if err := again(ctx, status, err); err != nil {
			return "", fmt.Errorf("log %s in: %w", w.user, err)
		}
	}
}

// again says whether what happened passes.
func again(ctx context.Context, status int, err error) error {
	if err == nil && status < http.StatusInternalServerError && status != http.StatusTooManyRequests && status != http.StatusAccepted {
		return fmt.Errorf("answer %d", status)
	}
	return rest(ctx, 200*time.Millisecond)
}

func (b *buyers) order(ctx context.Context, w *who, terms map[string]any) error {
	no := fmt.Sprintf("%s-%d", w.user, len(w.orders))
	terms["out_trade_no"], terms["description"], terms["amount_fen"], terms["currency"] = no, "One pot of tea", 100, "CNY"
	w.orders = append(w.orders, no)
	var answer placed
	return b.shop.command(ctx, "/v1/orders", terms, &answer)
}

// pays: the credential has run out, and ten pages of the buyer's want it anew.
func (b *buyers) pays(ctx context.Context, w *who, no string) error {
	if _, err := b.books.db.ExecContext(ctx, `UPDATE orders SET credential_expires_at = now() WHERE out_trade_no = $1`, no); err != nil {
		return err
	}
	var pages errgroup.Group
	for i := range 10 {
		pages.Go(func() error {
			_, err := b.parameters(ctx, w.sessions[i%len(w.sessions)], no)
			return err
		})
	}
	if err := pages.Wait(); err != nil {
		return err
	}
	p, err := b.parameters(ctx, w.sessions[0], no)
	if err != nil {
		return err
	}
	b.step()
	if p.Native != nil {
		known, err := read[struct{ Credential string }](ctx, b.platform, "/control/orders/"+no)
		if err != nil || known.Credential != p.Native.CodeURL {
			return errors.Join(err, fmt.Errorf("the buyer scans %s, and WeChat Pay knows %s", p.Native.CodeURL, known.Credential))
		}
	}
	if err := b.hand(ctx, w, no, p); err != nil {
		return err
	}
	for {
		var now struct{ State string }
		status, err := b.post(ctx, b.stack.FrontURL()+"/wx/orders/"+no+"/check", w.sessions[len(w.sessions)-1], nil, &now)
		if err == nil && now.State == "paid" {
			b.step()
			return nil
		}
		if err := again(ctx, max(status, http.StatusInternalServerError), err); err != nil {
			return err
		}
	}
}

type parameters struct {
	RequestPayment map[string]string `json:"request_payment"`
	App            map[string]string
	Native         *struct {
		CodeURL string `json:"code_url"`
	}
}

func (b *buyers) parameters(ctx context.Context, session, no string) (parameters, error) {
	for {
		var p parameters
		status, err := b.post(ctx, b.stack.FrontURL()+"/wx/orders/"+no+"/pay", session, map[string]any{}, &p)
		if err == nil && status == http.StatusOK {
			return p, nil
		}
		if err := again(ctx, status, err); err != nil {
			return p, err
		}
	}
}

// hand has the buyer pay, twice at once: WeChat takes one.
func (b *buyers) hand(ctx context.Context, w *who, no string, p parameters) error {
	var twice errgroup.Group
	for range 2 {
		twice.Go(func() error {
			var err error
			switch {
			case p.Native != nil:
				_, err = b.post(ctx, b.platform.base+"/control/orders/"+no+"/pay", "", map[string]any{}, nil)
			case p.App != nil:
				_, err = b.post(ctx, b.platform.base+"/weixin/pay", "", map[string]any{"user": w.user, "kind": "app", "params": p.App}, nil)
			default:
				_, err = b.post(ctx, b.platform.base+"/weixin/pay", "", map[string]any{"user": w.user, "kind": "request_payment", "params": p.RequestPayment}, nil)
			}
			return err
		})
	}
	return twice.Wait()
}

func (b *buyers) requireOnePaymentEach(ctx context.Context, all []who) {
	b.t.Helper()
	ledger, err := b.platform.ledger(ctx)
	require.NoError(b.t, err)
	paid := map[string]int{}
	for _, p := range ledger.Payments {
		paid[p.OutTradeNo]++
	}
	require.Len(b.t, ledger.Payments, 3*len(all))
	for _, w := range all {
		for _, no := range w.orders {
			require.Equal(b.t, 1, paid[no], no)
		}
	}
	for statement, want := range map[string]int{
		`SELECT count(*) FROM orders WHERE state = 'paid'`: 3 * len(all), `SELECT count(*) FROM orders`: 3 * len(all), `SELECT count(*) FROM payments`: 3 * len(all),
		`SELECT count(*) FROM anomalies`: 0, `SELECT count(*) FROM accounts WHERE merged_into IS NULL`: len(all), `SELECT count(*) FROM identities`: 2 * len(all),
	} {
		var got int
		require.NoError(b.t, b.books.db.QueryRowContext(ctx, statement).Scan(&got))
		require.Equal(b.t, want, got, statement)
	}
	strangers, err := b.books.strangers(ctx, ledger)
	require.NoError(b.t, err)
	require.Zero(b.t, strangers)
}

// requireNobodySeesAnothers asks with every session about every order of its own,
// and of the neighbour's: the answer to those is the one about no order at all.
func (b *buyers) requireNobodySeesAnothers(ctx context.Context, all []who) {
	b.t.Helper()
	for i, w := range all {
		for _, session := range w.sessions {
			for _, no := range w.orders {
				status, _ := b.reads(ctx, session, no)
				require.Equal(b.t, http.StatusOK, status, "%s: %s", w.user, no)
			}
		}
		stranger := all[(i+1)%len(all)]
		session := w.sessions[len(w.sessions)-1]
		for _, no := range stranger.orders {
			status, foreign := b.reads(ctx, session, no)
			require.Equal(b.t, http.StatusNotFound, status)
			_, unknown := b.reads(ctx, session, no+"x")
			require.Equal(b.t, string(unknown), string(bytes.ReplaceAll(foreign, []byte(no), []byte(no+"x"))))
		}
	}
}

func (b *buyers) reads(ctx context.Context, session, no string) (int, []byte) {
	b.t.Helper()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.stack.FrontURL()+"/wx/orders/"+no, http.NoBody)
		require.NoError(b.t, err)
		r.Header.Set("Authorization", "Bearer "+session)
		status, raw, err := b.do(r)
		require.NoError(b.t, err)
		if status < http.StatusInternalServerError && status != http.StatusTooManyRequests {
			return status, raw
		}
		require.NoError(b.t, rest(ctx, 200*time.Millisecond))
	}
}

func (b *buyers) post(ctx context.Context, url, bearer string, body, into any) (int, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	if body == nil {
		raw = nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return 0, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	status, answer, err := b.do(r)
	if err == nil && into != nil && status < http.StatusMultipleChoices {
		err = json.Unmarshal(answer, into)
	}
	return status, err
}

func (b *buyers) do(r *http.Request) (int, []byte, error) {
	answer, err := b.shop.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	return answer.StatusCode, raw, err
}

// Package street opens a whole street for the tests of the examples: fenflow, the
// stand-in WeChat with its people, and the tea shop of examples/shop.
//
// Its neighbours: devstack starts all of it, as processes; the tests of
// examples/h5 and examples/miniprogram walk in it as buyers.
//
// It guarantees that what a test asks about an order is answered by the books (the
// business API) and by the platform's own ledger, never by a page.
//
// It leaves browsers and phones to the tests.
package street

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/devstack"
	"github.com/fenflow/fenflow/pkg/app/ingest"
	"github.com/fenflow/fenflow/pkg/app/reconciler"
	"github.com/fenflow/fenflow/pkg/app/worker"
	"github.com/fenflow/fenflow/pkg/config"
)

// The appids that the stand-in gives every test merchant.
const (
	MiniProgram     = "wx8888888888888888"
	OfficialAccount = "wx8888888888888801"
	Website         = "wx8888888888888802"
	App             = "wx8888888888888803"
)

// speed divides the waits of the stand-in: an h5_url leads somewhere for five real minutes.
const speed = 1

// Main is the TestMain of a package that opens a street: the stack starts the test
// binary again for each of its parts.
func Main(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "role" {
		roles := devstack.Parts()
		for role, main := range map[config.Role]boot.Main{
			config.RoleIngest: ingest.Main, config.RoleWorker: worker.Main, config.RoleReconciler: reconciler.Main,
		} {
			roles[string(role)] = func(_ context.Context, args []string) int { return boot.Run(role, args, main) }
		}
		os.Exit(devstack.Main(os.Args[1:], roles, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Street is all of it, running.
type Street struct{ *devstack.Stack }

// Open starts everything on free ports, and ends it with the test.
func Open(t *testing.T) Street {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // as root, PostgreSQL runs as another user, who must pass through
		require.NoError(t, os.Chmod(d, 0o711)) //nolint:gosec // see above
	}
	stack, err := devstack.Start(t.Context(), devstack.Options{Dir: dir, FreePort: true, Speed: speed, Shop: true, Log: t.Output()})
	require.NoError(t, err)
	s := Street{stack}
	t.Cleanup(func() {
		stack.Stop()
		if t.Failed() {
			_ = os.CopyFS(filepath.Join(t.ArtifactDir(), "log"), os.DirFS(stack.LogDir())) // best effort
		}
	})
	require.NotEmpty(t, stack.ShopURL(), "the tea shop is open")
	return s
}

// Order is what the books know of an order.
type Order struct {
	OutTradeNo string `json:"out_trade_no"`
	State      string `json:"state"`
	AmountFen  int64  `json:"amount_fen"`
}

// Order asks the business API, as the shop would.
func (s Street) Order(t testing.TB, outTradeNo string) Order {
	t.Helper()
	var order Order
	status := s.call(t, http.MethodGet, s.APIURL()+"/v1/orders/"+outTradeNo, s.Merchant().APIKey, nil, &order)
	require.Equal(t, http.StatusOK, status, outTradeNo)
	return order
}

// Check has WeChat Pay asked about an order now, unless it was within the last
// second: then it answers with what the books knew.
func (s Street) Check(t testing.TB, outTradeNo string) Order {
	t.Helper()
	var order Order
	status := s.call(t, http.MethodPost, s.APIURL()+"/v1/orders/"+outTradeNo+"/check", s.Merchant().APIKey, nil, &order)
	require.Equal(t, http.StatusOK, status, outTradeNo)
	return order
}

// PaidAtPlatform says whether money moved at WeChat Pay for an order.
func (s Street) PaidAtPlatform(t testing.TB, outTradeNo string) bool {
	t.Helper()
	var ledger struct {
		Payments []struct {
			OutTradeNo string `json:"out_trade_no"`
		} `json:"payments"`
	}
	require.Equal(t, http.StatusOK, s.call(t, http.MethodGet, s.SimulatorURL()+"/control/ledger", "", nil, &ledger))
	for _, p := range ledger.Payments {
		if p.OutTradeNo == outTradeNo {
			return true
		}
	}
	return false
}

// Code is what WeChat would give to a client of this appid in this person's hand.
func (s Street) Code(t testing.TB, appid, user, kind string) string {
	t.Helper()
	var made struct {
		Code string `json:"code"`
	}
	status := s.call(t, http.MethodPost, s.SimulatorURL()+"/control/weixin/codes", "", map[string]string{"appid": appid, "user": user, "kind": kind}, &made)
	require.Equal(t, http.StatusOK, status)
	require.NotEmpty(t, made.Code)
	return made.Code
}

// Pay has a person pay in WeChat with exactly these parameters.
func (s Street) Pay(t testing.TB, user, kind string, params any) map[string]any {
	t.Helper()
	answer := map[string]any{}
	s.call(t, http.MethodPost, s.SimulatorURL()+"/weixin/pay", "", map[string]any{"user": user, "kind": kind, "params": params}, &answer)
	return answer
}

// Front asks the front door as a buyer.
func (s Street) Front(t testing.TB, method, path, session string, body any) (int, map[string]any) {
	t.Helper()
	answer := map[string]any{}
	status := s.call(t, method, s.FrontURL()+path, session, body, &answer)
	return status, answer
}

// Shop asks the tea shop as a page would.
func (s Street) Shop(t testing.TB, session string, body any) (int, map[string]any) {
	t.Helper()
	answer := map[string]any{}
	status := s.call(t, http.MethodPost, s.ShopURL()+"/shop/orders", session, body, &answer)
	return status, answer
}

func (s Street) call(t testing.TB, method, url, bearer string, body, into any) int {
	t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(raw))
	require.NoError(t, err)
	if body == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	if err := json.Unmarshal(text, into); err != nil && resp.StatusCode < http.StatusMultipleChoices {
		require.NoError(t, err, "%s %s answered %s", method, url, text)
	}
	return resp.StatusCode
}

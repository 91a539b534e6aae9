package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/devstack"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "role" {
		os.Exit(devstack.Main(os.Args[1:], stackRoles(), os.Stdout, os.Stderr))
	}
	testscript.Main(m, map[string]func(){"fenflow": main})
}

// TestSessions are an operator's: this program as it is, its console, and
// books on PostgreSQL in which a few things happened.
func TestSessions(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("FENFLOW_UPDATE_GOLDEN") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": ready,
			"many":  many,
			"tidy": func(ts *testscript.TestScript, _ bool, _ []string) {
				_, _ = fmt.Fprint(ts.Stdout(), tidy(ts.ReadFile("stdout")))
			},
			"keep": func(ts *testscript.TestScript, _ bool, args []string) { // the token that was printed, into a variable
				ts.Setenv(args[0], tokenShape.FindString(ts.ReadFile("stdout")))
			},
		},
		Setup: func(e *testscript.Env) error {
			url := testkit.Database(t, "sessions", func(ctx context.Context, url string) error {
				_, err := store.Migrate(ctx, url)
				return err //nolint:wrapcheck // the test tells
			})
			happen(t, url)
			console := testkit.FreeAddr(t)
			for name, value := range map[string]string{
				"FENFLOW_POSTGRES_URL": url, "FENFLOW_LISTEN_CONSOLE": console, "FENFLOW_URL": "http://" + console,
				"FENFLOW_LISTEN_ADMIN": testkit.FreeAddr(t), "NO_COLOR": "1", "USER": "ada",
				"GORACE": "atexit_sleep_ms=0", // each command is a process, which the race detector lets linger for a second
			} {
				e.Setenv(name, value)
			}
			return nil
		},
	})
}

// ready waits for the console that runs beside the script.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ts.Getenv("FENFLOW_LISTEN_ADMIN")+"/readyz", http.NoBody)
		ts.Check(err)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			ts.Check(resp.Body.Close())
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("the console is not ready")
		case <-again.C:
		}
	}
}

// many places that many orders of a third merchant, more than a page holds.
func many(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("postgres", ts.Getenv("FENFLOW_POSTGRES_URL"))
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	//nolint:dupword // a row's instants are one
	_, err = db.ExecContext(context.Background(), `WITH numbers AS (SELECT 'M' || lpad(g::text, 7, '0') AS no, timestamptz '2026-02-01 00:00Z' + g / 2 * interval '1 s' AS placed_at FROM generate_series(1, $1::int) AS g),
		placed AS (INSERT INTO orders (mchid, out_trade_no, appid, client, protocol, description, amount_fen, currency, openid, attach, digest, state, sequence, created_at, updated_at, expires_at, prepay_request, next_check_at)
			SELECT '1900000111', no, 'wx1', 'native', 'v3', 'tea', 1, 'CNY', '', '', repeat('9f', 32), 'created', 1, placed_at, placed_at, placed_at + interval '2 h', '{}', placed_at FROM numbers)
		INSERT INTO history (mchid, out_trade_no, sequence, what, source, from_state, to_state, transaction_id, key_id, detail, at)
			SELECT '1900000111', no, 1, 'created', 'command', 'created', 'created', '', '', '', placed_at FROM numbers`, args[0])
	ts.Check(err)
}

var (
	tokenShape = regexp.MustCompile(`fft_[0-9A-Za-z_-]{43}`)
	timeShape  = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?`)
	uuidShape  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// tidy replaces what is another in each run: times but those of the first of
// March, and ids that were made. People's tables keep their columns.
func tidy(s string) string {
	s = timeShape.ReplaceAllStringFunc(s, func(at string) string {
		switch {
		case strings.HasPrefix(at, "2026-03-01"):
			return at
		case at[10] == 'T': // in JSON, whose fractions are of any length
			return "NOW"
		}
		return strings.Repeat("N", len(at))
	})
	return uuidShape.ReplaceAllStringFunc(s, func(id string) string {
		if strings.HasPrefix(id, "0195563c-") {
			return id
		}
		return strings.Repeat("i", len(id))
	})
}

// What happened in the books of the sessions, on the first of March: a pot of
// tea was paid, another merchant has an order of the same number, a forgery
// came, and a payment for an order that nobody knows.
const (
	shop  = pay.MchID("1900000109")
	other = pay.MchID("1900000110")
)

func happen(t *testing.T, url string) {
	t.Helper()
	noon := time.Date(2026, 3, 1, 4, 0, 0, 123456000, time.UTC)
	books, err := store.Open(t.Context(), store.Config{URL: url, MaxConns: 2, Name: "sessions"})
	require.NoError(t, err)
	defer func() { require.NoError(t, books.Close()) }()
	place := func(mchid pay.MchID, no pay.OutTradeNo, after time.Duration) pay.Order {
		at := noon.Add(after)
		o, created, _, err := books.CreateOrder(t.Context(), pay.Order{
			MchID: mchid, OutTradeNo: no, AppID: "wx8888888888888888", Client: pay.ClientJSAPI, Protocol: pay.ProtocolV3,
			Description: "一壶茶", Amount: 880, Currency: pay.CNY, OpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", Digest: strings.Repeat("9f", 32),
			CreatedAt: at, ExpiresAt: at.Add(2 * time.Hour), NextCheckAt: at.Add(time.Minute), CheckAPI: pay.APIOrderQuery,
			PrepayRequest: []byte(`{"amount":{"total":880}}`),
		})
		require.NoError(t, err)
		require.True(t, created)
		return o
	}
	paid := func(id pay.DeliveryID, o pay.Order, tx pay.TransactionID, letter *pay.LetterCause) pay.Entry {
		obs := pay.Observation{
			Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: o.CreatedAt.Add(2 * time.Second), KeyID: "PUB_KEY_ID_1",
			MchID: o.MchID, OutTradeNo: o.OutTradeNo, AppID: o.AppID, TransactionID: tx, Amount: o.Amount, PayerTotal: o.Amount, Currency: o.Currency,
			PaidAt: o.CreatedAt.Add(time.Second), OpenID: o.OpenID, TradeType: "JSAPI", BankType: "OTHERS", DeliveryID: id,
		}
		return pay.Entry{Observation: &obs, Letter: letter, Delivery: &pay.Delivery{
			ID: id, MchID: o.MchID, Kind: pay.DeliveryNotifyV3, ReceivedAt: obs.ObservedAt, Headers: map[string]string{"Wechatpay-Serial": "PUB_KEY_ID_1"},
			Body: []byte(`{"id":"EV-` + string(tx) + `"}`), Position: pay.Position{Stream: "NOTIFY", Sequence: 7},
			KeyID: "PUB_KEY_ID_1", NotificationID: "EV-" + string(tx), EventType: "TRANSACTION.SUCCESS", OutTradeNo: o.OutTradeNo, TransactionID: tx,
		}}
	}
	tea := place(shop, "TEA-001", 0)
	same := place(shop, "SAME-001", time.Minute)
	place(other, "SAME-001", 2*time.Minute)
	nobody := tea
	nobody.OutTradeNo, nobody.CreatedAt = "NOBODY-1", noon.Add(4*time.Minute)
	_, err = books.Settle(t.Context(), []pay.Entry{
		paid("0195563c-7d00-7000-8000-000000000001", tea, "4200000001", nil),
		paid("0195563c-7d00-7000-8000-000000000002", same, "4200000002", &pay.LetterCause{Reason: pay.LetterBadSignature, Detail: "serial 5F \x1b[2J is not a known key"}),
		paid("0195563c-7d00-7000-8000-000000000003", nobody, "4200000003", nil),
	}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(t, err)
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/app/devstack"
)

const (
	poisonKinds   = 5
	poisonPerKind = 200
	poisonAtOnce  = 8 // requests under way
)

// TestOperator_empties_a_poisoned_queue: five things go wrong one after the other,
// each turns two hundred payments into dead letters, and the page of the manual,
// run as it stands, settles every one of them. No reconciler runs, which would
// find the payments by asking.
func TestOperator_empties_a_poisoned_queue(t *testing.T) {
	t.Parallel()
	p := newPoison(t)
	// WeChat Pay signs with its public key alone, as for every merchant since 2024.
	require.NoError(t, p.post(t.Context(), p.stack.SimulatorURL()+"/control/keys", `{"action":"drop_certificates"}`, http.StatusOK))
	p.place()
	p.spoil("bad_signature", "S", p.anotherPublicKey)
	p.spoil("decrypt_failed", "D", p.anotherAPIv3Key)
	p.spoil("unknown_merchant", "M", p.anotherMerchant)
	p.spoil("internal", "I", p.strangeConstraint)
	p.spoil("unknown_order", "U", p.oldBackup)
	p.anotherPublicKey()
	p.anotherAPIv3Key()
	p.anotherMerchant()
	p.stack.Halt("worker") // or it would look at what waits, with the wrong keys
	require.Equal(t, "bad_signature 200, decrypt_failed 200, internal 200, unknown_merchant 200, unknown_order 200", p.letters())

	runPage(t, p.stack, "../../docs/how-to/empty-a-poisoned-queue.md", p.dir, map[string]func() error{
		"systemctl start fenflow-worker": func() error { return errors.Join(p.stack.Resume(t.Context()), p.stack.AwaitReady(t.Context())) },
	})

	require.Equal(t, "paid 1000", p.column(`SELECT state || ' ' || count(*) FROM orders GROUP BY state`))
	require.Equal(t, "1000", p.column(`SELECT count(*) FROM payments`))
	require.Equal(t, "resolved 1000", p.column(`SELECT state || ' ' || count(*) FROM dead_letters GROUP BY state`))
	require.Eventually(t, func() bool { return p.column(`SELECT count(*) FROM outbox`) == "0" }, patience, lookEach)
	require.Equal(t, "1000 1000", p.column(`SELECT count(*) || ' ' || count(DISTINCT out_trade_no) FROM published WHERE fact = 'order.paid'`))
}

// poison is a whole fenflow whose worker reads a configuration that others spoil.
type poison struct {
	t     *testing.T
	stack *devstack.Stack
	db    *sql.DB
	dir   string // what the page sees: merchant/ is the worker's configuration, kept/ holds what is right
}

func newPoison(t *testing.T) *poison {
	t.Helper()
	stack := startStack(t, func(o *devstack.Options) { o.OwnConfig, o.Without = []string{"worker"}, []string{"reconciler"} })
	p := &poison{t: t, stack: stack, dir: t.TempDir()}
	for _, variable := range stack.Environment() {
		if url, is := strings.CutPrefix(variable, "FENFLOW_POSTGRES_URL="); is {
			db, err := sql.Open("postgres", url)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			p.db = db
		}
	}
	require.NoError(t, os.CopyFS(filepath.Join(p.dir, "kept"), os.DirFS(p.config())))
	require.NoError(t, os.Symlink(p.config(), filepath.Join(p.dir, "merchant")))
	return p
}

func (p *poison) config() string { return filepath.Dir(p.stack.ConfigFile("worker")) }

func (p *poison) each(do func(ctx context.Context, kind string, n int) error) {
	p.t.Helper()
	group, ctx := errgroup.WithContext(p.t.Context())
	group.SetLimit(poisonAtOnce)
	for _, kind := range []string{"S", "D", "M", "I", "U"}[:poisonKinds] {
		for n := range poisonPerKind {
			group.Go(func() error { return do(ctx, kind, n) })
		}
	}
	require.NoError(p.t, group.Wait())
}

func number(kind string, n int) string { return fmt.Sprintf("POISON-%s-%03d", kind, n) }

func (p *poison) place() {
	p.t.Helper()
	p.each(func(ctx context.Context, kind string, n int) error {
		body := fmt.Sprintf(`{"out_trade_no":%q,"appid":%q,"client":"native","description":"One pot of tea","amount_fen":880,"currency":"CNY"}`, number(kind, n), p.stack.Merchant().Appid)
		return p.post(ctx, p.stack.APIURL()+"/v1/orders", body, http.StatusCreated)
	})
}

func (p *poison) post(ctx context.Context, url, body string, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err //nolint:wrapcheck // the test tells
	}
	req.Header.Set("Authorization", "Bearer "+p.stack.Merchant().APIKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "wait=20")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err //nolint:wrapcheck // the test tells
	}
	defer func() { _ = resp.Body.Close() }()
	var said bytes.Buffer
	if _, err := said.ReadFrom(resp.Body); err != nil {
		return err //nolint:wrapcheck // the test tells
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, said.String()) //nolint:err113 // the test tells
	}
	return nil
}

// spoil breaks one thing, has two hundred orders paid, and waits until each of
// their notifications is a letter of that reason. The configuration is whole again
// after it: each letter has one cause.
func (p *poison) spoil(reason, kind string, breakIt func()) {
	p.t.Helper()
	breakIt()
	require.NoError(p.t, p.stack.Restart(p.t.Context(), "worker"))
	group, ctx := errgroup.WithContext(p.t.Context())
	group.SetLimit(poisonAtOnce)
	for n := range poisonPerKind {
		group.Go(func() error {
			return p.post(ctx, p.stack.SimulatorURL()+"/control/orders/"+number(kind, n)+"/pay", "{}", http.StatusOK)
		})
	}
	require.NoError(p.t, group.Wait())
	want := fmt.Sprintf("%s %d", reason, poisonPerKind)
	require.Eventually(p.t, func() bool { return strings.Contains(p.letters(), want) }, patience, lookEach, "%s are wanted", want)
	for _, file := range []string{"fenflow.yaml", "secrets/pub_key.pem", "secrets/apiv3.key"} {
		right, err := os.ReadFile(filepath.Join(p.dir, "kept", file))
		require.NoError(p.t, err)
		p.write(file, right)
	}
}

func (p *poison) write(file string, content []byte) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(filepath.Join(p.config(), file), content, 0o600))
}

// anotherPublicKey: somebody downloaded the key of another merchant.
func (p *poison) anotherPublicKey() {
	p.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(p.t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(p.t, err)
	p.write("secrets/pub_key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// anotherAPIv3Key: somebody typed it in anew.
func (p *poison) anotherAPIv3Key() { p.write("secrets/apiv3.key", []byte(strings.Repeat("7", 32))) }

// anotherMerchant: somebody deployed the worker with an old configuration.
func (p *poison) anotherMerchant() {
	p.t.Helper()
	raw, err := os.ReadFile(filepath.Join(p.config(), "fenflow.yaml"))
	require.NoError(p.t, err)
	p.write("fenflow.yaml", bytes.ReplaceAll(raw, []byte(p.stack.Merchant().Mchid), []byte("1900000199")))
}

// strangeConstraint: somebody had a theory about the books.
func (p *poison) strangeConstraint() {
	p.t.Helper()
	_, err := p.db.ExecContext(p.t.Context(), `ALTER TABLE orders ADD CONSTRAINT orders_somebodys_theory CHECK (out_trade_no NOT LIKE 'POISON-I-%' OR state <> 'paid')`)
	require.NoError(p.t, err)
}

// oldBackup: somebody restored the books as of before these orders were placed.
func (p *poison) oldBackup() {
	p.t.Helper()
	conn, err := p.db.Conn(p.t.Context())
	require.NoError(p.t, err)
	defer func() { require.NoError(p.t, conn.Close()) }()
	for _, statement := range []string{
		`SET session_replication_role = replica`, // or the books would not let go of them
		`DELETE FROM history WHERE out_trade_no LIKE 'POISON-U-%'`,
		`DELETE FROM published WHERE out_trade_no LIKE 'POISON-U-%'`,
		`DELETE FROM commands WHERE out_trade_no LIKE 'POISON-U-%'`,
		`DELETE FROM orders WHERE out_trade_no LIKE 'POISON-U-%'`,
		`RESET session_replication_role`,
	} {
		_, err := conn.ExecContext(p.t.Context(), statement)
		require.NoError(p.t, err)
	}
}

func (p *poison) letters() string {
	return p.column(`SELECT reason || ' ' || count(*) FROM dead_letters GROUP BY reason ORDER BY reason`)
}

// column is the rows of one column.
func (p *poison) column(query string) string {
	p.t.Helper()
	rows, err := p.db.QueryContext(p.t.Context(), query)
	require.NoError(p.t, err)
	defer func() { require.NoError(p.t, rows.Close()) }()
	var all []string
	for rows.Next() {
		var one string
		require.NoError(p.t, rows.Scan(&one))
		all = append(all, one)
	}
	require.NoError(p.t, rows.Err())
	return strings.Join(all, ", ")
}

package devstack

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit"
)

// crowd is many pages inside WeChat that want to call wx.config at the same time,
// and two workers behind them.
type crowd struct {
	*visitor

	db        *sql.DB
	app       string
	ready     string // the second worker's /readyz
	client    *http.Client
	processes map[string]string // names in the stack, by what connections are called
}

const (
	pages        = 200
	secondWorker = "worker-2"
)

func newCrowd(t *testing.T, s *Stack) *crowd {
	t.Helper()
	c := &crowd{visitor: visit(t, s), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: pages}}, processes: map[string]string{}}
	t.Cleanup(c.client.CloseIdleConnections)
	var err error
	c.db, err = sql.Open("postgres", s.postgres.URL(databaseName))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.db.Close()) })
	for _, app := range s.merchant.Apps {
		if app.Kind == simulator.KindOfficialAccount {
			c.app = app.Appid
		}
	}
	c.learn("worker")
	admin := testkit.FreeAddr(t)
	c.ready = "http://" + admin + "/readyz"
	require.NoError(t, s.role(t.Context(), secondWorker, append(s.Environment("worker"), "FENFLOW_LISTEN_ADMIN="+admin), "role", "worker"))
	require.NoError(t, s.await(t.Context(), secondWorker, c.ready))
	c.learn(secondWorker)
	return c
}

// learn notes what the connections of a worker that has just come are called.
func (c *crowd) learn(name string) {
	c.t.Helper()
	var called []string
	rows, err := c.db.QueryContext(c.t.Context(), `SELECT DISTINCT split_part(application_name, '/', 2) FROM pg_stat_activity WHERE application_name LIKE 'fenflow-worker/%'`)
	require.NoError(c.t, err)
	defer func() { require.NoError(c.t, rows.Close()) }()
	for rows.Next() {
		var process string
		require.NoError(c.t, rows.Scan(&process))
		if c.processes[process] == "" {
			called = append(called, process)
		}
	}
	require.NoError(c.t, rows.Err())
	require.Len(c.t, called, 1)
	c.processes[called[0]] = name
}

// holder is the worker that fetches the ticket now.
func (c *crowd) holder() string {
	c.t.Helper()
	var process string
	require.NoError(c.t, c.db.QueryRowContext(c.t.Context(), `SELECT split_part(holder, '/', 2) FROM wechat_tokens WHERE appid = $1 AND kind = 'jsapi_ticket'`, c.app).Scan(&process))
	require.Contains(c.t, c.processes, process)
	return c.processes[process]
}

// ask asks once for every page, all at the same time, and counts who is answered. The
// others are told to come again.
func (c *crowd) ask(ctx context.Context) (answered int, err error) {
	ok := make(chan struct{}, pages)
	var group errgroup.Group
	for range pages {
		group.Go(func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet,
				c.stack.FrontURL()+"/wx/jsconfig/"+c.app+"?url="+url.QueryEscape(c.stack.shopAddress()+"/"), http.NoBody)
			if err != nil {
				return err
			}
			resp, err := c.client.Do(req)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			switch text, err := io.ReadAll(resp.Body); {
			case err != nil:
				return err
			case resp.StatusCode == http.StatusOK:
				ok <- struct{}{}
			case resp.StatusCode != http.StatusServiceUnavailable:
				return fmt.Errorf("%s: %s", resp.Status, text)
			}
			return nil
		})
	}
	err = group.Wait()
	return len(ok), err
}

// called is how often the stand-in was asked for a token and for a ticket.
func (c *crowd) called() (tokens, tickets int) {
	c.t.Helper()
	counted, err := read[struct {
		Calls map[string]map[string]int `json:"calls"`
	}](c.t.Context(), c.platform, "/control/weixin/calls")
	require.NoError(c.t, err)
	return counted.Calls["/cgi-bin/stable_token"][c.app], counted.Calls["/cgi-bin/ticket/getticket"][c.app]
}

func (c *crowd) requireAllAnswered() {
	c.t.Helper()
	answered, err := c.ask(c.t.Context())
	require.NoError(c.t, err)
	require.Equal(c.t, pages, answered)
}

// The worker that fetches is killed while WeChat thinks: the other one fetches when
// the lease has ended, and a page that asks again is answered.
func (c *crowd) losesTheWorkerThatFetches() {
	t := c.t
	status, answer, err := c.platform.call(t.Context(), http.MethodPost, "/control/weixin/faults", []byte(`{"api":"/cgi-bin/stable_token","latency_ms":4000,"count":1}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status, string(answer))
	first := make(chan error, 1)
	go func() {
		_, err := c.ask(t.Context())
		first <- err
	}()
	require.Eventually(t, func() bool { tokens, _ := c.called(); return tokens == 1 }, patience, pollEvery)
	holder := c.holder()
	t.Logf("killing %s", holder)
	require.NoError(t, c.stack.Kill(holder))
	require.NoError(t, <-first, "each page is answered, with 503 where need be")
	require.Eventually(t, func() bool {
		var answered int
		answered, err = c.ask(t.Context())
		return err != nil || answered == pages
	}, patience, pollEvery)
	require.NoError(t, err)
	tokens, tickets := c.called()
	require.Equal(t, 2, tokens, "the one that was lost, and one")
	require.Equal(t, 1, tickets)
}

// forgets starts both workers again, over a shelf that is empty.
func (c *crowd) forgets() {
	t := c.t
	_, err := c.db.ExecContext(t.Context(), `DELETE FROM wechat_tokens`)
	require.NoError(t, err)
	for _, name := range []string{"worker", secondWorker} {
		p := c.stack.find(name)
		_, before := p.status()
		require.NoError(t, p.kill())
		require.Eventually(t, func() bool { _, now := p.status(); return now > before }, patience, pollEvery)
	}
	require.NoError(t, c.stack.AwaitReady(t.Context()))
	require.NoError(t, c.stack.await(t.Context(), secondWorker, c.ready))
}

func TestStack_two_workers_fetch_once_for_two_hundred_pages(t *testing.T) {
	t.Parallel()
	s := startForTest(t)
	c := newCrowd(t, s)
	c.losesTheWorkerThatFetches()
	tokens, tickets := c.called()
	c.requireAllAnswered()
	c.requireCalled(tokens, tickets) // from memory, or the shelf
	c.forgets()
	c.requireAllAnswered()
	c.requireCalled(tokens+1, tickets+1)

	began := time.Now()
	c.requireAllAnswered()
	t.Logf("%d pages in %s", pages, time.Since(began).Round(time.Millisecond))
}

func (c *crowd) requireCalled(tokens, tickets int) {
	c.t.Helper()
	gotTokens, gotTickets := c.called()
	require.Equal(c.t, tokens, gotTokens)
	require.Equal(c.t, tickets, gotTickets)
}

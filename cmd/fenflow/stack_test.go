package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/console"
	"github.com/fenflow/fenflow/pkg/app/devstack"
	"github.com/fenflow/fenflow/pkg/app/ingest"
	"github.com/fenflow/fenflow/pkg/app/reconciler"
	"github.com/fenflow/fenflow/pkg/app/worker"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/simulator"
)

const (
	patience = 90 * time.Second
	lookEach = 100 * time.Millisecond
)

// stackRoles are the programs of a stack, run by this test's own binary.
func stackRoles() map[string]devstack.Role {
	roles := devstack.Parts()
	for role, main := range map[config.Role]boot.Main{
		config.RoleIngest: ingest.Main, config.RoleWorker: worker.Main, config.RoleReconciler: reconciler.Main, config.RoleConsole: console.Main,
	} {
		roles[string(role)] = func(_ context.Context, args []string) int { return boot.Run(role, args, main) }
	}
	return roles
}

// startStack brings up all of fenflow, with the stand-in WeChat Pay.
func startStack(t *testing.T, with ...func(*devstack.Options)) *devstack.Stack {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // as root, PostgreSQL runs as another user, who must pass through
		require.NoError(t, os.Chmod(d, 0o711))
	}
	options := devstack.Options{Dir: dir, Console: true, FreePort: true, Speed: 60, RefundSpeed: 60, Log: t.Output()}
	for _, change := range with {
		change(&options)
	}
	stack, err := devstack.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	return stack
}

// TestStackSessions are an operator's on a whole fenflow, which all of them
// share: each script has numbers of its own. Before them, buyers come through the
// front door. What is printed, logged, measured, sent and stored holds no secret.
// Beside testscript's own commands:
//
//	shop METHOD PATH [BODY]      asks the business API as the test merchant's shop
//	control METHOD PATH [BODY]   asks the stand-in WeChat Pay (/control/…)
//	login USER NAME              logs a person in by the mini program; NAME is the account, NAME_OPENID the openid
//	await REGEXP PROGRAM ARGS…   runs it until its output matches; stdout is the last output
//	psql STATEMENT               prints the rows, a column each separated by |
//	remember NAME                the last output, as a variable
//	tidy, keep NAME              as in TestSessions
func TestStackSessions(t *testing.T) { //nolint:tparallel // the scripts are; the group waits for them
	t.Parallel()
	ear := newEavesdropper(t)
	stack := startStack(t, func(o *devstack.Options) { o.WeChatURL, o.LogLevel = ear.URL, "debug" })
	ear.passTo(t, stack.SimulatorURL())
	said := &spoken{}
	walk(t, &buyers{t: t, stack: stack, ear: ear})
	t.Run("scripts", func(t *testing.T) { // returns when all scripts have ended
		testscript.RunT(recorded{t, said}, stackParams(stack, "testdata/stack"))
	})
	requireNoSecret(t, stack, said, ear.secrets())
}

func stackParams(stack *devstack.Stack, dir string) testscript.Params {
	return testscript.Params{
		Dir:           dir,
		UpdateScripts: os.Getenv("FENFLOW_UPDATE_GOLDEN") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"shop": func(ts *testscript.TestScript, _ bool, args []string) {
				ask(ts, stack.APIURL(), "Bearer "+stack.Merchant().APIKey, args)
			},
			"control": func(ts *testscript.TestScript, _ bool, args []string) { ask(ts, stack.SimulatorURL(), "", args) },
			"login":   func(ts *testscript.TestScript, _ bool, args []string) { login(ts, stack, args) },
			"await":   await,
			"psql":    psql,
			"tidy": func(ts *testscript.TestScript, _ bool, _ []string) {
				_, _ = fmt.Fprint(ts.Stdout(), tidy(ts.ReadFile("stdout")))
			},
			"keep": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], tokenShape.FindString(ts.ReadFile("stdout")))
			},
			"remember": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
			},
		},
		Setup: func(e *testscript.Env) error {
			for _, variable := range append(stack.Environment("console", "worker"),
				"FENFLOW_URL="+stack.ConsoleURL(), "FENFLOW_TOKEN="+stack.Token(), "MCHID="+stack.Merchant().Mchid, "APPID="+stack.Merchant().Appid, "OFFICIAL="+appidOf(stack, simulator.KindOfficialAccount),
				"NOTIFY="+stack.NotifyURL(), "SIMULATOR="+stack.SimulatorURL(), "MERCHANT="+filepath.Dir(stack.ConfigFile("console")),
				"NO_COLOR=1", "USER=ada", "GORACE=atexit_sleep_ms=0") {
				name, value, _ := strings.Cut(variable, "=")
				e.Setenv(name, value)
			}
			return nil
		},
	}
}

// ask sends one request and prints its answer, whatever its status.
func ask(ts *testscript.TestScript, base, authorization string, args []string) {
	body := ""
	if len(args) > 2 {
		body = args[2]
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, args[0], base+args[1], strings.NewReader(body))
	ts.Check(err)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "wait=20")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	raw, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(resp.Body.Close())
	_, _ = fmt.Fprintf(ts.Stdout(), "%s\n%s\n", resp.Status, raw)
}

// await runs a command until what it prints, on either stream, matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	deadline := time.Now().Add(patience)
	for {
		_ = ts.Exec(args[1], args[2:]...) // what counts is what it says
		said := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if want.MatchString(said) != neg {
			_, _ = fmt.Fprint(ts.Stdout(), said)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q did not come within %s; the last was:\n%s", args[0], patience, said)
		}
		<-time.After(lookEach)
	}
}

func psql(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("postgres", ts.Getenv("FENFLOW_POSTGRES_URL"))
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	rows, err := db.QueryContext(context.Background(), args[0])
	ts.Check(err)
	defer func() { ts.Check(rows.Close()) }()
	columns, err := rows.Columns()
	ts.Check(err)
	for rows.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		ts.Check(rows.Scan(targets...))
		texts := make([]string, len(values))
		for i := range values {
			texts[i] = values[i].String
		}
		_, _ = fmt.Fprintln(ts.Stdout(), strings.Join(texts, "|"))
	}
	ts.Check(rows.Err())
}

package subscribe

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// childVariable makes this test binary a business system that kills itself.
const childVariable = "FENFLOW_SUBSCRIBE_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := businessSystem(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// PostgreSQL is shared by all tests and ends with the process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/fenflow/fenflow/pkg/testkit/servers.(*child).live"),
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).Start.func2"), // copies its output
	)
}

// life is one run of the business system: it ends by kill -9 when a step was
// done for the nth time, or in peace when its standard input ends.
type life struct {
	NATS, DB string
	Step     Step
	After    int64 // 0: in peace
	Racing   bool  // the kill comes at any moment from then on
}

func businessSystem(text string) error {
	var l life
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err
	}
	db, err := sql.Open("postgres", l.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	inbox, err := Open(ctx, shopOptions(l.NATS, db))
	if err != nil {
		return err
	}
	defer inbox.Close()
	inbox.at = l.die()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return inbox.Run(ctx, shop)
}

func (l life) die() func(Step) {
	var done atomic.Int64
	return func(s Step) {
		if s != l.Step || l.After == 0 || done.Add(1) < l.After {
			return
		}
		if l.Racing {
			go func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }()
			return
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // nothing happens after the kill
	}
}

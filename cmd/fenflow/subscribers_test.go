package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fenflow/fenflow/deploy"
	"github.com/fenflow/fenflow/pkg/app/devstack"
	"github.com/fenflow/fenflow/pkg/event"
)

// TestSubscriberSessions are an operator's and a business system's, on a stack of
// their own: they have NATS read its accounts again. Beside the commands of
// TestStackSessions:
//
//	accounts FILE…          makes these the accounts of business systems, and has NATS read them
//	receive SEED NAME N     is the business system NAME: takes N events and acknowledges them
//	nkey VARIABLE           makes a key of which only the public half is ever seen
//	mask REGEXP TEXT        prints the last stdout with what matches replaced; $1 is a group
func TestSubscriberSessions(t *testing.T) {
	t.Parallel()
	stack := startStack(t, func(*devstack.Options) {})
	params := stackParams(stack, "testdata/subscribers")
	params.Cmds["accounts"] = func(ts *testscript.TestScript, _ bool, args []string) { accounts(ts, stack, args) }
	params.Cmds["receive"] = func(ts *testscript.TestScript, _ bool, args []string) { receive(ts, stack, args) }
	params.Cmds["nkey"] = func(ts *testscript.TestScript, _ bool, args []string) {
		pair, err := nkeys.CreateUser()
		ts.Check(err)
		public, err := pair.PublicKey()
		ts.Check(err)
		ts.Setenv(args[0], public)
	}
	params.Cmds["mask"] = func(ts *testscript.TestScript, _ bool, args []string) {
		_, _ = fmt.Fprint(ts.Stdout(), regexp.MustCompile(args[0]).ReplaceAllString(ts.ReadFile("stdout"), args[1]))
	}
	testscript.Run(t, params)
}

// accounts does what `fenflow subscriber add` tells its operator to.
func accounts(ts *testscript.TestScript, stack *devstack.Stack, files []string) {
	text := deploy.SubscriberAccounts()
	for _, file := range files {
		text = append(text, ts.ReadFile(file)...)
	}
	ts.Check(os.WriteFile(stack.AccountsFile(), text, 0o600))
	for range 2 {
		before := readAt(ts)
		ts.Check(stack.ReloadNATS())
		for deadline := time.Now().Add(patience); readAt(ts).Equal(before); <-time.After(lookEach) {
			if time.Now().After(deadline) {
				ts.Fatalf("NATS did not read its configuration")
			}
		}
	}
}

// readAt is when NATS last read its configuration.
func readAt(ts *testscript.TestScript) time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.Getenv("FENFLOW_NATS_MONITOR_URLS")+"/varz", http.NoBody)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	var varz struct {
		ReadAt time.Time `json:"config_load_time"`
	}
	ts.Check(errors.Join(json.NewDecoder(resp.Body).Decode(&varz), resp.Body.Close()))
	return varz.ReadAt
}

// receive is a business system with nothing but its seed and what it was told to set.
func receive(ts *testscript.TestScript, stack *devstack.Stack, args []string) {
	key, err := nats.NkeyOptionFromSeed(ts.MkAbs(args[0]))
	ts.Check(err)
	name := args[1]
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	conn, err := nats.Connect(stack.NATSURL(), key, nats.CustomInboxPrefix("_INBOX_"+name))
	ts.Check(err)
	defer conn.Close()
	js, err := jetstream.NewWithAPIPrefix(conn, "fenflow.events")
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	consumer, err := js.Consumer(ctx, "EVENT", name)
	ts.Check(err)
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(patience))
	ts.Check(err)
	for msg := range batch.Messages() {
		e, err := event.Parse(msg.Data())
		ts.Check(err)
		ts.Check(msg.DoubleAck(ctx))
		_, _ = fmt.Fprintln(ts.Stdout(), e.Data.OutTradeNo, e.Type)
	}
	ts.Check(batch.Error())
}

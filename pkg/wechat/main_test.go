package wechat

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// childVariable makes this test binary a worker that asks for a token.
const childVariable = "FENFLOW_WECHAT_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := worker(text); err != nil {
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

// life is what one worker process is told.
type life struct {
	DB, Platform string
	Lease        time.Duration
}

// worker obeys a line each: "token" and "do" are answered with the token that
// was given or that worked.
func worker(text string) error {
	var l life
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err
	}
	db, err := sql.Open("postgres", l.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	client, err := New(Options{BaseURL: l.Platform, HTTPClient: &http.Client{}, Now: time.Now})
	if err != nil {
		return err
	}
	sealer, err := NewSealer(ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		return err
	}
	a, err := NewAuthority(AuthorityOptions{
		Client: client, Shelf: &pgShelf{db}, Sealer: sealer, Holder: fmt.Sprint(os.Getpid()), Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Lease: l.Lease,
	})
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Println("ready") //nolint:forbidigo // a process of a test talks over its standard output
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		token, err := obey(client, a, lines.Text())
		if err != nil {
			return err
		}
		fmt.Println(token.Reveal()) //nolint:forbidigo // as above
	}
	return nil
}

func obey(client *Client, a *Authority, order string) (merchant.Secret, error) {
	ctx := context.Background()
	if order == "token" {
		return a.AccessToken(ctx, testApp())
	}
	var used merchant.Secret
	err := a.Do(ctx, testApp(), func(token merchant.Secret) error {
		used = token
		_, err := client.MenuGet(ctx, token)
		return err
	})
	return used, err
}

package wechat

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

// life is what one worker process is told.
type life struct {
	DB, Platform string
	AppID        pay.AppID
	Secret       string
	Lease        time.Duration
}

// What a process can be told to do. It says once for each kind of value whether it
// leases or waits, and then what it got: one value, or two with a space between.
const (
	orderToken = "token" // the access token
	orderBoth  = "both"  // the access token and the ticket, at the same time
	orderMenu  = "menu"  // a call with the access token; it answers with the one that did
)

// says are lines of one process to the test that began it.
type says struct {
	mu   sync.Mutex
	told map[string]bool // what was said about the order of now
}

func (s *says) line(words ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Println(words...) //nolint:forbidigo // a process of a test talks over its standard output
}

func (s *says) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = map[string]bool{}
}

func (s *says) first(kind string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.told[kind]
	s.told[kind] = true
	return !known
}

// tellingShelf is the store, whose first answers about a lease are told.
type tellingShelf struct {
	*store.Store

	says *says
}

func (s tellingShelf) LeaseToken(ctx context.Context, appid pay.AppID, kind, holder string, now time.Time, lease time.Duration) (int64, bool, error) {
	fence, ok, err := s.Store.LeaseToken(ctx, appid, kind, holder, now, lease)
	if s.says.first(kind) {
		s.says.line(map[bool]string{true: "leases", false: "waits"}[ok], kind)
	}
	return fence, ok, err
}

// worker obeys a line each, until there is none.
func worker(text string) (err error) {
	var l life
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err
	}
	books, err := store.Open(context.Background(), store.Config{URL: l.DB, MaxConns: 4, Name: "worker"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, books.Close()) }()
	client, err := New(Options{BaseURL: l.Platform, HTTPClient: &http.Client{}, Now: time.Now})
	if err != nil {
		return err
	}
	sealer, err := NewSealer(ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		return err
	}
	said := &says{}
	a, err := NewAuthority(AuthorityOptions{
		Client: client, Shelf: tellingShelf{books, said}, Sealer: sealer, Holder: fmt.Sprint(os.Getpid()), Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Lease: l.Lease,
	})
	if err != nil {
		return err
	}
	defer a.Close()
	said.line("ready")
	app := App{ID: l.AppID, Secret: merchant.Secret(l.Secret)}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		said.next()
		got, err := obey(client, a, app, lines.Text())
		if err != nil {
			return err
		}
		said.line(strings.Join(got, " "))
	}
	return nil
}

func obey(client *Client, a *Authority, app App, order string) ([]string, error) {
	ctx := context.Background()
	switch order {
	case orderBoth:
		return both(ctx, a, app)
	case orderMenu:
		used := ""
		err := a.Do(ctx, app, func(token merchant.Secret) error {
			used = token.Reveal()
			_, err := client.MenuGet(ctx, token)
			return err
		})
		return []string{used}, err
	}
	token, err := a.AccessToken(ctx, app)
	return []string{token.Reveal()}, err
}

func both(ctx context.Context, a *Authority, app App) ([]string, error) {
	var token, ticket merchant.Secret
	var group errgroup.Group
	group.Go(func() (err error) { token, err = a.AccessToken(ctx, app); return err })
	group.Go(func() (err error) { ticket, err = a.Ticket(ctx, app); return err })
	err := group.Wait()
	return []string{token.Reveal(), ticket.Reveal()}, err
}

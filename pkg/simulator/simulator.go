package simulator

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

// KeyMode says which key signs notifications. Answers to API calls do not depend
// on it: they follow the request's own Wechatpay-Serial header.
type KeyMode string

// The key modes. Mixed alternates, as during WeChat's switch from certificates to
// public keys, so that a receiver must hold both.
const (
	KeyModePublicKey           KeyMode = "public_key"
	KeyModePlatformCertificate KeyMode = "platform_certificate"
	KeyModeMixed               KeyMode = "mixed"
)

const (
	// defaultSenders bounds notifications in flight: two hundred orders a second
	// answered in 100 ms keep 20 busy.
	defaultSenders = 64
	// attemptTimeout is the time a receiver has to answer (WeChat Pay doc 4012075420).
	attemptTimeout = 5 * time.Second
)

// Options of a Simulator. Only Merchant is required.
type Options struct {
	Merchant Merchant
	// StateDir holds the journal. Empty: everything is forgotten on Close.
	StateDir string
	// Now is the wall clock; every timestamp and the five-minute check use it.
	Now func() time.Time
	// Rand feeds nonces and identifiers. It must be safe for concurrent use.
	Rand   io.Reader
	Logger *slog.Logger
	// Speed divides waits: those of the retry schedule, of refunds (their progress, and
	// the minute between two of one order), of downloads and key switches.
	// Rates and the expiry of orders are left alone. 0 means 1.
	Speed float64
	// KeyMode of notifications. Empty means mixed.
	KeyMode KeyMode
	// Keys says which kinds of keys the merchant has. Empty means both.
	Keys KeySet
	// Senders is the number of notifications in flight at once.
	Senders int
	// HTTPClient delivers notifications. Nil: a client of the simulator's own.
	HTTPClient *http.Client
	// NewConnections opens a connection for each notification, as WeChat does.
	// It applies to the simulator's own client only.
	NewConnections bool
	// StrictNotifyURL demands https and a public host of every notify_url, as the real
	// platform does. A query string is always refused.
	StrictNotifyURL bool
	// Faults are switched on from the start; FaultKinds lists what there is.
	Faults []Fault
	// Seed decides when a fault with a probability happens. 0 draws one.
	Seed uint64
	// Limits holds requests to the documented rates, and refunds of one order to one
	// a minute (which Speed divides).
	Limits bool
}

// Simulator is one stand-in platform with one merchant.
type Simulator struct {
	merchant Merchant
	signers  *signers
	books    *books
	post     *postOffice
	random   random
	now      func() time.Time
	log      *slog.Logger
	handler  http.Handler
	pages    pages
	faults   *faults
	limits   *limits
	calls    calls
	desk     billDesk
	weixin   *weixin.Platform
	speed    float64 // divides waits

	strictNotifyURL bool
	forged          atomic.Uint64 // forgeries so far; the kinds take turns
}

// New builds a simulator, replays its journal and resumes pending notifications.
func New(o Options) (*Simulator, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("check options: %w", err)
	}
	pages, err := parsePages()
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	books, err := openBooks(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("open books: %w", err)
	}
	random := random{o.Rand}
	s := &Simulator{
		merchant: o.Merchant, books: books, now: o.Now, log: o.Logger, pages: pages, random: random,
		speed: o.Speed, strictNotifyURL: o.StrictNotifyURL,
		signers: &signers{merchant: o.Merchant, random: random, now: o.Now},
	}
	if s.signers.keyring, err = newKeyring(o, books.keys); err != nil {
		return nil, fmt.Errorf("open keyring: %w", errors.Join(err, books.close()))
	}
	if s.faults, err = openFaults(o); err != nil {
		return nil, fmt.Errorf("set faults: %w", errors.Join(err, books.close()))
	}
	s.post = newPostOffice(o, books, s.signers)
	s.post.faults, s.limits = s.faults, newLimits(o)
	if err := s.openWeixin(o); err != nil {
		return nil, errors.Join(err, books.close())
	}
	s.handler = s.routes()
	s.post.resume()
	s.resumeRefunds()
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.KeyMode == "" {
		o.KeyMode = KeyModeMixed
	}
	if o.Keys == "" {
		o.Keys = KeysBoth
	}
	if o.Senders == 0 {
		o.Senders = defaultSenders
	}
	return o
}

func (o Options) check() error {
	var problems []error
	if err := o.Merchant.check(); err != nil {
		problems = append(problems, fmt.Errorf("merchant: %w", err))
	}
	if o.Speed < 0 {
		problems = append(problems, fmt.Errorf("speed must be positive, not %v", o.Speed))
	}
	if o.Senders < 0 {
		problems = append(problems, fmt.Errorf("senders must be positive, not %d", o.Senders))
	}
	switch o.Keys {
	case KeysBoth, KeysPublicKey, KeysPlatformCertificate:
	default:
		problems = append(problems, fmt.Errorf("keys must be %s, %s or %s, not %q", KeysBoth, KeysPublicKey, KeysPlatformCertificate, o.Keys))
	}
	switch o.KeyMode {
	case KeyModePublicKey, KeyModePlatformCertificate, KeyModeMixed:
	default:
		problems = append(problems, fmt.Errorf("key mode must be %s, %s or %s, not %q",
			KeyModePublicKey, KeyModePlatformCertificate, KeyModeMixed, o.KeyMode))
	}
	return errors.Join(problems...)
}

// Handler serves the API, /control and the pages on one address.
func (s *Simulator) Handler() http.Handler { return s.handler }

// Close stops deliveries and waits for those in flight. With a state directory
// the next start takes up what was pending.
func (s *Simulator) Close() error {
	s.post.close()
	if err := s.books.close(); err != nil {
		return fmt.Errorf("close books: %w", err)
	}
	return nil
}

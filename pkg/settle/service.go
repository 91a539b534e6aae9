package settle

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Books is the database as settling needs it. Settle is one transaction.
type Books interface {
	Settle(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) (pay.Settled, error)
	CountAttempt(ctx context.Context, mchid pay.MchID, id pay.DeliveryID) (int, error)
	ForgetAttempts(ctx context.Context, mchid pay.MchID, id pay.DeliveryID) error
}

// Merchants knows the merchants with their secrets.
type Merchants interface {
	Credentials(mchid pay.MchID) (*merchant.Credentials, bool)
}

// Keys fetches a merchant's keys anew when a notification names one that is
// not known. It keeps to its own rate.
type Keys interface {
	Refresh(ctx context.Context, mchid pay.MchID) error
}

// Relay takes the events of a commit. It never waits.
type Relay interface {
	Hand(events []pay.Outgoing)
}

// Options are what a Service is made of.
type Options struct {
	Books     Books
	Merchants Merchants
	Keys      Keys
	Relay     Relay
	// Rehearsals is a way into the books that settling does not wait for; nil: nothing
	// is rehearsed, nor settled as it was seen.
	Rehearsals Rehearsals
	// Retry settles the waiting letters of an order, once its payment is in the
	// books; nil leaves them to the letter sweep.
	Retry func(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (int, error)
	// Retryable says whether an error of Books may go away by itself.
	Retryable func(error) bool
	// Open reads an envelope; wechatpay.Open everywhere but in tests.
	Open     func(wechatpay.Envelope, *merchant.Credentials) (wechatpay.Notification, error)
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// maxCommit is the most entries in one commit: the knee of the measured curve.
const maxCommit = 500

// Service settles arrivals.
type Service struct {
	books     Books
	rehearsed Rehearsals
	merchants Merchants
	keys      Keys
	relay     Relay
	early     early
	retry     func(context.Context, pay.MchID, pay.OutTradeNo) (int, error)
	retryable func(error) bool
	open      func(wechatpay.Envelope, *merchant.Credentials) (wechatpay.Notification, error)
	now       func() time.Time
	log       *slog.Logger
	metrics   metrics
}

// New makes a Service.
func New(o Options) *Service {
	if o.Open == nil {
		o.Open = wechatpay.Open
	}
	return &Service{
		books: o.Books, rehearsed: o.Rehearsals, merchants: o.Merchants, keys: o.Keys, relay: o.Relay,
		retry: o.Retry, retryable: o.Retryable, open: o.Open, now: o.Now, log: o.Log, metrics: newMetrics(o.Registry),
	}
}

// Settle gives each arrival its effect or its letter.
//
// An error means that the database is away and nothing may be acknowledged;
// what was committed before it is harmless to settle again.
func (s *Service) Settle(ctx context.Context, arrivals []wechatpay.Arrival) error {
	arrivals = withoutTwins(arrivals)
	healthy := make([]wechatpay.Arrival, 0, len(arrivals))
	var suspects []wechatpay.Arrival
	for _, a := range arrivals {
		if a.Deliveries > suspectAfter {
			suspects = append(suspects, a)
			continue
		}
		healthy = append(healthy, a)
	}
	for batch := range slices.Chunk(healthy, maxCommit) {
		entries, err := s.readAll(ctx, batch)
		if err != nil {
			return err
		}
		if err := s.commit(ctx, entries); err != nil {
			return err
		}
	}
	for _, a := range suspects {
		if err := s.settleSuspect(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// Read says what each arrival is to the books, and leaves them alone: for who
// settles in an order of their own. Repeats within arrivals are left out.
func (s *Service) Read(ctx context.Context, arrivals []wechatpay.Arrival) ([]pay.Entry, error) {
	return s.readAll(ctx, withoutTwins(arrivals))
}

// Commit settles entries in the order given, whatever is broken in them. An
// error means what one of Settle does.
func (s *Service) Commit(ctx context.Context, entries []pay.Entry) error {
	for batch := range slices.Chunk(entries, maxCommit) {
		if err := s.commit(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads envelopes on all cores. Each has its own recover.
func (s *Service) readAll(ctx context.Context, arrivals []wechatpay.Arrival) ([]pay.Entry, error) {
	entries := make([]pay.Entry, len(arrivals))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, a := range arrivals {
		group.Go(func() (err error) {
			entries[i], err = s.read(ctx, a)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read notifications: %w", err)
	}
	return entries, nil
}

// withoutTwins drops repeats of a delivery within one batch: the same pack
// handed out twice. The books would not mind, but would do the work twice.
func withoutTwins(arrivals []wechatpay.Arrival) []wechatpay.Arrival {
	type key struct {
		mchid pay.MchID
		id    pay.DeliveryID
	}
	seen := make(map[key]int, len(arrivals))
	kept := make([]wechatpay.Arrival, 0, len(arrivals))
	for _, a := range arrivals {
		a.Envelope.DeliveryID = usableID(a)
		k := key{a.Envelope.MchID, a.Envelope.DeliveryID}
		if first, twin := seen[k]; twin && sameBytes(kept[first].Envelope, a.Envelope) {
			continue
		}
		seen[k] = len(kept)
		kept = append(kept, a)
	}
	return kept
}

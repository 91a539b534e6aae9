package recovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Books are the database as recovering needs it.
type Books interface {
	Runs
	Told
	Orders

	Settle(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) (pay.Settled, error)
	KnownCommands(ctx context.Context, commands []pay.StoredCommand) (map[pay.CommandID]pay.CommandResult, error)
	TakeToken(ctx context.Context, mchid pay.MchID, b pay.Budget) (bool, error)
	BooksState(ctx context.Context) (pay.BooksState, error)
	Vouch(ctx context.Context) error
	Withdraw(ctx context.Context) error
}

// Runs keep how far each recovery is.
type Runs interface {
	BeginRecovery(ctx context.Context, since time.Time, parts pay.RecoveryStretches, actor, reason string) (pay.Recovery, error)
	Recovery(ctx context.Context, id string) (pay.Recovery, bool, error)
	LeaseRecovery(ctx context.Context, id string, lease time.Duration, actor, reason string) (pay.Recovery, bool, error)
	MoveRecovery(ctx context.Context, r pay.Recovery, lease time.Duration) error
	FinishRecovery(ctx context.Context, r pay.Recovery, actor, reason string) error
}

// Told is what subscribers were told.
type Told interface {
	UnknownEvents(ctx context.Context, ids []string) ([]string, error)
	RestorePublished(ctx context.Context, events []pay.ToldEvent) (int, error)
	Told(ctx context.Context, keys []pay.OrderKey) ([]pay.ToldEvent, error)
	ToldOfRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, since time.Time) (pay.OutTradeNo, error)
	HushEvents(ctx context.Context, ids []string) (fresh int, err error)
}

// Orders are the orders in the books.
type Orders interface {
	OrderBooks(ctx context.Context, keys []pay.OrderKey) (map[pay.OrderKey]pay.OrderBook, error)
	PlaceOrders(ctx context.Context, orders []pay.Order) (placed int, events []pay.Outgoing, err error)
	CatchUpOrders(ctx context.Context, told map[pay.OrderKey]int64) error
	Payment(ctx context.Context, mchid pay.MchID, id pay.TransactionID) (pay.Payment, bool, error)
}

// Streams are what the broker kept.
type Streams interface {
	Since(ctx context.Context, stream string, at time.Time) (pay.Stretch, error)
	Tail(ctx context.Context, stream string, most uint64) (pay.Stretch, error)
	ReadTold(ctx context.Context, part pay.Stretch, most int) ([]pay.ToldEvent, error)
	ReadNotifications(ctx context.Context, part pay.Stretch, most int) ([]wechatpay.StoredPack, error)
	ReadCommands(ctx context.Context, part pay.Stretch, most int) ([]pay.StoredCommand, error)
	CommandFloors(ctx context.Context) (map[pay.MchID]uint64, error)
}

// Settler reads and settles notifications as they are settled every day.
type Settler interface {
	Read(ctx context.Context, arrivals []wechatpay.Arrival) ([]pay.Entry, error)
	Commit(ctx context.Context, entries []pay.Entry) error
	Settle(ctx context.Context, arrivals []wechatpay.Arrival) error
}

// Commands recover commands.
type Commands interface {
	Recover(ctx context.Context, c pay.RecoveredCommand) (pay.CommandRecovery, error)
}

// Letters retries notifications that waited for an order or a refund.
type Letters interface {
	Retry(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (int, error)
}

// WeChat is one merchant's way to WeChat Pay.
type WeChat interface {
	PrepayBody(o pay.Order, notifyURL string) ([]byte, error)
	QueryOrder(ctx context.Context, o pay.Order) (wechatpay.OrderAnswer, error)
	QueryRefund(ctx context.Context, q wechatpay.RefundQuery) (wechatpay.RefundAnswer, error)
}

// Merchants knows the merchants, their rules and their way to WeChat Pay.
type Merchants interface {
	Rules(mchid pay.MchID) pay.Policies
	WeChat(mchid pay.MchID) (WeChat, bool)
}

// StreamNames are the streams that are read.
type StreamNames struct{ Notify, Command, Event string }

// Budgets are how many questions a second may be asked for one merchant.
type Budgets struct{ OrderQuery, RefundQuery int }

// Options are what a Service is made of.
type Options struct {
	Books     Books
	Streams   Streams
	Names     StreamNames
	Settler   Settler // hands its events to Hush
	Commands  Commands
	Letters   Letters
	Merchants Merchants
	Hush      *Hush
	Budgets   Budgets
	NotifyURL func(mchid pay.MchID, protocol pay.Protocol) string
	Retryable func(error) bool
	Now       func() time.Time
	Log       *slog.Logger
}

// Service recovers the books.
type Service struct{ Options }

// New makes a Service.
func New(o Options) *Service { return &Service{o} }

const (
	// stepTime bounds one step: whoever drives a recovery is told so often how
	// far it is, and waits 18 s at most (operator.askWithin).
	stepTime = 5 * time.Second
	// lease is longer than a step, and renewed by each page: whoever takes over from
	// one that died waits so long. Two at the same page do no harm.
	lease = 20 * time.Second
	// margin is how much earlier than asked for messages are read: what was
	// stored just before the backup may have been settled just after it.
	margin = 15 * time.Minute
	// known is how many events before the beginning must be in the books, and at
	// the end of the stream in books that are whole.
	known = 256
)

// Begin begins a recovery since an instant, or takes up the one that is under way
// since then or earlier. The books must hold what was told just before the instant.
func (s *Service) Begin(ctx context.Context, since time.Time, actor, reason string) (pay.Recovery, error) {
	if since.After(s.Now()) {
		return pay.Recovery{}, problem.InvalidFields(problem.Field{Field: "since", Message: "is " + since.UTC().Format(time.RFC3339) + ", which has not come yet"})
	}
	running, found, err := s.Books.Recovery(ctx, "")
	switch {
	case err != nil:
		return pay.Recovery{}, fmt.Errorf("read recovery: %w", err)
	case found && !running.Superseded && !running.Since.After(since):
		return running, nil
	}
	var parts pay.RecoveryStretches
	for _, part := range []struct {
		stream string
		at     time.Time
		into   *pay.Stretch
	}{
		{s.Names.Event, since, &parts.Events}, {s.Names.Notify, since.Add(-margin), &parts.Notifications}, {s.Names.Command, since.Add(-margin), &parts.Commands},
	} {
		stretch, err := s.Streams.Since(ctx, part.stream, part.at)
		if err != nil {
			return pay.Recovery{}, s.away(err)
		}
		*part.into = stretch
	}
	parts.Orders = parts.Events
	if err := s.earlyEnough(ctx, since, parts.Events.First); err != nil {
		return pay.Recovery{}, err
	}
	r, err := s.Books.BeginRecovery(ctx, since, parts, actor, reason)
	if err != nil {
		return pay.Recovery{}, fmt.Errorf("begin recovery: %w", err)
	}
	return r, nil
}

// earlyEnough refuses an instant later than the backup: what lies between would
// be missing for good.
func (s *Service) earlyEnough(ctx context.Context, since time.Time, first uint64) error {
	before := pay.Stretch{Next: max(first-min(first, known), 1), Until: first}
	events, err := s.Streams.ReadTold(ctx, before, known)
	if err != nil {
		return s.away(err)
	}
	unknown, err := s.unknown(ctx, events)
	if err != nil || len(unknown) == 0 {
		return err
	}
	return problem.Newf(problem.SinceTooLate, "%s was told of order %s at %s, before %s, and the books do not know it",
		unknown[0].Fact, unknown[0].OutTradeNo, unknown[0].StoredAt.Format(time.RFC3339), since.UTC().Format(time.RFC3339))
}

// unknown are those of the events that the books know nothing of.
func (s *Service) unknown(ctx context.Context, events []pay.ToldEvent) ([]pay.ToldEvent, error) {
	missing, err := s.Books.UnknownEvents(ctx, idsOf(events))
	if err != nil {
		return nil, fmt.Errorf("look for events: %w", err)
	}
	return slices.DeleteFunc(events, func(e pay.ToldEvent) bool { return !slices.Contains(missing, e.EventID) }), nil
}

// errBusy: somebody else makes a step of this recovery.
var errBusy = errors.New("somebody else makes a step of this recovery")

// Step goes on with a recovery for some seconds. It gives where the recovery
// stands also where it could not go on.
func (s *Service) Step(ctx context.Context, id, actor, reason string) (pay.Recovery, error) {
	r, leased, err := s.Books.LeaseRecovery(ctx, id, lease, actor, reason)
	if err != nil {
		return pay.Recovery{}, fmt.Errorf("take up recovery: %w", err)
	}
	if !leased {
		return s.notLeased(ctx, id)
	}
	for until := s.Now().Add(stepTime); ; {
		next := r
		ended, err := s.advance(ctx, &next)
		switch {
		case err != nil:
			return r, errors.Join(err, s.Books.MoveRecovery(context.WithoutCancel(ctx), r, 0))
		case ended:
			return s.finish(ctx, next, actor, reason)
		}
		hold := lease
		if !s.Now().Before(until) {
			hold = 0
		}
		if err := s.Books.MoveRecovery(ctx, next, hold); err != nil {
			return r, fmt.Errorf("move recovery: %w", err)
		}
		if r = next; hold == 0 {
			return r, nil
		}
	}
}

func (s *Service) notLeased(ctx context.Context, id string) (pay.Recovery, error) {
	r, found, err := s.Books.Recovery(ctx, id)
	switch {
	case err != nil:
		return pay.Recovery{}, fmt.Errorf("read recovery: %w", err)
	case !found:
		return pay.Recovery{}, problem.New(problem.NotFound, "there is no recovery "+id)
	case r.Superseded:
		return pay.Recovery{}, problem.New(problem.Refused, "this recovery was given up: another was begun since an earlier instant, or the database was started anew")
	case r.Phase == pay.RecoveryDone:
		return r, nil
	}
	return r, errBusy
}

// advance works off one page and says whether all is done.
func (s *Service) advance(ctx context.Context, r *pay.Recovery) (ended bool, err error) {
	parts := &r.Stretches
	switch r.Phase {
	case pay.RecoverEvents:
		if !parts.Events.Ended() {
			return false, s.readBack(ctx, r)
		}
		r.Phase = pay.RecoverMessages
	case pay.RecoverMessages:
		if !parts.Notifications.Ended() || !parts.Commands.Ended() {
			return false, s.replay(ctx, r)
		}
		r.Phase = pay.RecoverOrders
	case pay.RecoverOrders:
		if parts.Orders.Ended() {
			return true, nil
		}
		return false, s.catchUp(ctx, r)
	case pay.RecoveryDone:
		return true, nil
	}
	return false, nil
}

func (s *Service) finish(ctx context.Context, r pay.Recovery, actor, reason string) (pay.Recovery, error) {
	if err := s.Books.FinishRecovery(ctx, r, actor, reason); err != nil {
		return r, fmt.Errorf("finish recovery: %w", err)
	}
	s.Log.InfoContext(ctx, "books recovered", "recovery_id", r.ID, "since", r.Since, "events", r.Counts.Events, "orders", r.Counts.Orders,
		"notifications", r.Counts.Notifications, "commands", r.Counts.Commands, "asked", r.Counts.Asked, "problems", r.Counts.Problems)
	ended, _, err := s.Books.Recovery(ctx, r.ID)
	if err != nil {
		return r, fmt.Errorf("read recovery: %w", err)
	}
	return ended, nil
}

// away is an error of the broker.
func (*Service) away(err error) error { return problem.Wrap(problem.BrokerUnavailable, err, "") }

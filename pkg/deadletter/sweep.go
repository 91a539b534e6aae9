package deadletter

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Letters are the dead letters as the sweep needs them.
type Letters interface {
	ClaimWaitingLetters(ctx context.Context, limit int, lease time.Duration) ([]pay.Letter, error)
	WaitingLettersFor(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) ([]pay.Letter, error)
	OpenOverdueLetters(ctx context.Context, after time.Duration) (int, error)
}

// Settler settles deliveries, letters among them.
type Settler interface {
	Settle(ctx context.Context, arrivals []wechatpay.Arrival) error
}

// The sweep's rhythm.
const (
	sweepEvery  = time.Second
	claimLimit  = 200              // letters in one go
	claimLease  = 10 * time.Second // and thus the pause before the same letter is tried again
	overdueTime = 10 * time.Minute // then an operator is needed
)

// Sweeper tries waiting letters again.
type Sweeper struct {
	letters Letters
	settler Settler
	log     *slog.Logger
}

// New makes a sweeper.
func New(letters Letters, settler Settler, log *slog.Logger) *Sweeper {
	return &Sweeper{letters: letters, settler: settler, log: log}
}

// Run sweeps each second until the context ends.
func (s *Sweeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	failing := false
	for {
		err := s.Sweep(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			s.log.WarnContext(ctx, "letter sweep fails; it goes on", "error", err)
		}
		failing = err != nil
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep settles what waits once more and opens what has waited too long.
func (s *Sweeper) Sweep(ctx context.Context) error {
	waiting, err := s.letters.ClaimWaitingLetters(ctx, claimLimit, claimLease)
	if err != nil {
		return fmt.Errorf("claim waiting letters: %w", err)
	}
	if err := s.settle(ctx, waiting); err != nil {
		return err
	}
	opened, err := s.letters.OpenOverdueLetters(ctx, overdueTime)
	if err != nil {
		return fmt.Errorf("open overdue letters: %w", err)
	}
	if opened > 0 {
		s.log.ErrorContext(ctx, "payments or refunds without an order need an operator", "letters", opened, "waited", overdueTime.String())
	}
	return nil
}

// Retry settles the letters that waited for an order that now exists, or for
// its payment that now is booked.
func (s *Sweeper) Retry(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (int, error) {
	waiting, err := s.letters.WaitingLettersFor(ctx, mchid, no)
	if err != nil {
		return 0, fmt.Errorf("read waiting letters: %w", err)
	}
	return len(waiting), s.settle(ctx, waiting)
}

func (s *Sweeper) settle(ctx context.Context, letters []pay.Letter) error {
	if len(letters) == 0 {
		return nil
	}
	arrivals := make([]wechatpay.Arrival, 0, len(letters))
	for _, letter := range letters {
		arrivals = append(arrivals, arrivalOf(letter))
	}
	if err := s.settler.Settle(ctx, arrivals); err != nil {
		return fmt.Errorf("settle waiting letters: %w", err)
	}
	return nil
}

// arrivalOf is the delivery as it first arrived. What once failed for a fault of
// ours may have killed whoever read it, so it is settled alone and each of its
// readings is counted before it begins.
func arrivalOf(l pay.Letter) wechatpay.Arrival {
	d, deliveries := l.Delivery, 1
	if l.Reason == pay.LetterInternal {
		deliveries = math.MaxInt
	}
	return wechatpay.Arrival{
		Envelope: wechatpay.Envelope{
			DeliveryID: d.ID, MchID: d.MchID, Kind: d.Kind, ReceivedAt: d.ReceivedAt,
			Headers: d.Headers, Body: d.Body, TraceParent: d.TraceParent,
		},
		Position:   d.Position,
		Deliveries: deliveries,
	}
}

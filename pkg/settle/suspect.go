package settle

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// suspectAfter: a pack that was handed out more often than this may hold
	// an envelope that kills whoever reads it (a recover does not help against
	// a stack overflow or the kernel's memory killer).
	suspectAfter = 5
	// maxAttempts is how often a suspect is read before it becomes a letter
	// untouched.
	maxAttempts = 3
)

// Pauses while the database is away.
const (
	minPause = 200 * time.Millisecond
	maxPause = 5 * time.Second
)

// settleSuspect settles one envelope alone, after a count that is committed
// before the envelope is touched: if it kills this process, the count stays.
func (s *Service) settleSuspect(ctx context.Context, a wechatpay.Arrival) error {
	attempts, err := s.books.CountAttempt(ctx, a.Envelope.MchID, a.Envelope.DeliveryID)
	if err != nil {
		return fmt.Errorf("count attempt: %w", err)
	}
	if attempts > maxAttempts {
		detail := fmt.Sprintf("not read: %d attempts ended without a commit", maxAttempts)
		return s.commitPatiently(ctx, letter(deliveryOf(a), pay.LetterInternal, detail))
	}
	entry, err := s.read(ctx, a)
	if err != nil {
		return err
	}
	if err := s.commitPatiently(ctx, entry); err != nil {
		return err
	}
	// It did no harm. If a neighbour in the same pack does, this one comes
	// again, and must not run out of attempts for the neighbour's sake.
	if err := s.books.ForgetAttempts(ctx, a.Envelope.MchID, a.Envelope.DeliveryID); err != nil {
		s.log.WarnContext(ctx, "an attempt stays counted", "mchid", a.Envelope.MchID, "delivery_id", a.Envelope.DeliveryID, "error", err)
	}
	return nil
}

// commitPatiently waits here for a database that is away, rather than in the
// bus: another delivery would count another attempt against an envelope that
// did no harm.
func (s *Service) commitPatiently(ctx context.Context, entry pay.Entry) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := s.commit(ctx, []pay.Entry{entry})
		if err == nil || !s.retryable(err) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

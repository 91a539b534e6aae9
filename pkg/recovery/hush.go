package recovery

import (
	"context"
	"fmt"
	"sync"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Hush stands where the relay stands: what a recovery settles again was mostly
// told before, and is taken out of the outbox rather than published once more.
// Were it published, subscribers would know its id; so nothing hangs on it.
type Hush struct {
	mu  sync.Mutex
	ids []string
}

// Hand takes the events of a commit.
func (h *Hush) Hand(events []pay.Outgoing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		h.ids = append(h.ids, e.EventID)
	}
}

func (h *Hush) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := h.ids
	h.ids = nil
	return ids
}

// hush takes what was told before out of the outbox and counts what was not.
func (s *Service) hush(ctx context.Context, r *pay.Recovery) error {
	fresh, err := s.Books.HushEvents(ctx, s.Hush.take())
	if err != nil {
		return fmt.Errorf("hush events: %w", err)
	}
	r.Counts.Told += fresh
	return nil
}

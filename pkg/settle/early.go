package settle

import (
	"context"
	"sync"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxEarly bounds the orders that are remembered; what is forgotten is the
// sweep's.
const maxEarly = 10_000

// early remembers the orders for which a refund notice came before the payment
// that it gives back: WeChat Pay promises no order. The notice waits as a
// letter; with the payment in the books it can be settled at once, rather than
// at the letter's next turn.
//
// It is a memory of this process alone. What another process booked, or what
// was remembered before a restart, the letter sweep finds.
type early struct {
	mu     sync.Mutex
	orders map[order]struct{}
}

type order struct {
	mchid pay.MchID
	no    pay.OutTradeNo
}

// note looks at what a commit did and gives the orders whose letters have been
// waiting for just that.
func (e *early) note(entries []pay.Entry, settled pay.Settled) []order {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ripe []order
	for i, result := range settled.Results {
		if i >= len(entries) || entries[i].Observation == nil {
			continue
		}
		obs := entries[i].Observation
		key := order{obs.MchID, obs.OutTradeNo}
		switch obs.Kind {
		case pay.ObservedRefund:
			if result.Letter != nil && result.Letter.Reason == pay.LetterUnknownOrder {
				e.remember(key)
			}
		case pay.ObservedPaid:
			if _, waits := e.orders[key]; waits && result.Outcome == pay.OutcomeApplied {
				delete(e.orders, key)
				ripe = append(ripe, key)
			}
		default:
		}
	}
	return ripe
}

func (e *early) remember(key order) {
	if e.orders == nil || len(e.orders) >= maxEarly {
		e.orders = map[order]struct{}{}
	}
	e.orders[key] = struct{}{}
}

// retryEarly settles the refund notices that a commit's payments were awaited by.
func (s *Service) retryEarly(ctx context.Context, entries []pay.Entry, settled pay.Settled) {
	for _, key := range s.early.note(entries, settled) {
		if s.retry == nil {
			continue
		}
		if _, err := s.retry(ctx, key.mchid, key.no); err != nil {
			s.log.WarnContext(ctx, "refund notices that waited for their payment are left to the sweep", "mchid", key.mchid, "out_trade_no", key.no, "error", err)
		}
	}
}

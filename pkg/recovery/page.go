package recovery

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fenflow/fenflow/pkg/pay"
)

// page is a part of a recovery that is worked off at once: the orders that it
// concerns, with what was told of them and what is in the books by now.
//
// Orders are taken side by side, each of them in its order.
type page struct {
	*Service

	ending bool // nothing comes any more that could bring about what is missing

	mu      sync.Mutex
	run     *pay.Recovery
	stories map[pay.OrderKey]story
	books   map[pay.OrderKey]pay.OrderBook
}

func (s *Service) newPage(r *pay.Recovery) *page {
	return &page{Service: s, run: r, stories: map[pay.OrderKey]story{}, books: map[pay.OrderKey]pay.OrderBook{}}
}

// know reads what was told of orders, and their books.
func (p *page) know(ctx context.Context, keys ...pay.OrderKey) error {
	fresh := p.unknown(keys)
	if len(fresh) == 0 {
		return nil
	}
	told, err := p.Books.Told(ctx, fresh)
	if err != nil {
		return fmt.Errorf("read what was told: %w", err)
	}
	stories := storiesOf(told)
	p.mu.Lock()
	for _, key := range fresh {
		p.stories[key] = stories[key]
	}
	p.mu.Unlock()
	return p.look(ctx, fresh...)
}

func (p *page) unknown(keys []pay.OrderKey) []pay.OrderKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fresh []pay.OrderKey
	asked := map[pay.OrderKey]bool{}
	for _, key := range keys {
		if _, known := p.stories[key]; !known && !asked[key] {
			asked[key] = true
			fresh = append(fresh, key)
		}
	}
	return fresh
}

// story is what was told of an order that is known.
func (p *page) story(key pay.OrderKey) story {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stories[key]
}

// look reads the books of orders anew.
func (p *page) look(ctx context.Context, keys ...pay.OrderKey) error {
	books, err := p.Books.OrderBooks(ctx, keys)
	if err != nil {
		return fmt.Errorf("read books: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, book := range books {
		p.books[key] = book
	}
	return nil
}

// book is nil for an order that is not there.
func (p *page) book(key pay.OrderKey) *pay.OrderBook {
	p.mu.Lock()
	defer p.mu.Unlock()
	book, known := p.books[key]
	if !known {
		return nil
	}
	return &book
}

func (p *page) trouble(key pay.OrderKey, refund pay.OutRefundNo, detail string) {
	p.note(func(r *pay.Recovery) {
		r.Trouble(pay.RecoveryProblem{MchID: key.MchID, OutTradeNo: key.OutTradeNo, OutRefundNo: refund, Detail: detail})
	})
}

// note writes something down about the run.
func (p *page) note(what func(r *pay.Recovery)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what(p.run)
}

// settle commits one entry about an order under the rules of then, and reads
// its book anew. What the database refuses for good becomes a letter, or is told
// of where there are no bytes to keep.
func (p *page) settle(ctx context.Context, key pay.OrderKey, entry pay.Entry) error {
	if entry.Observation != nil {
		entry.Observation.AskFirst = true
	}
	rules := func(mchid pay.MchID) pay.Policies { return p.story(key).policies(p.Merchants.Rules(mchid)) }
	settled, err := p.Books.Settle(ctx, []pay.Entry{entry}, rules)
	if err != nil && ctx.Err() == nil && !p.Retryable(err) {
		p.trouble(key, "", "the database refuses it: "+err.Error())
		if entry.Delivery == nil {
			return nil
		}
		settled, err = p.Books.Settle(ctx, []pay.Entry{{Delivery: entry.Delivery, Letter: &pay.LetterCause{Reason: pay.LetterInternal, Detail: "the database refuses it: " + err.Error()}}}, rules)
	}
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	p.Hush.Hand(settled.Events)
	if len(settled.Results) != 1 {
		return errors.New("settle: the store gave no result")
	}
	if letter := settled.Results[0].Letter; letter != nil && entry.Delivery == nil {
		p.trouble(key, "", string(letter.Reason)+": "+letter.Detail)
	}
	if refusal := settled.Results[0].Refusal; refusal != nil {
		p.trouble(key, entry.Observation.OutRefundNo, refusal.Detail)
	}
	return p.look(ctx, key)
}

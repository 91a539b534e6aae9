package recovery

import (
	"context"
	"fmt"
	"slices"

	"github.com/fenflow/fenflow/pkg/pay"
)

// eventPage is how many events are read at a time: a quarter of a megabyte or so.
const eventPage = 500

// readBack puts a page of what had been told back where the relay had put it. It
// is what the other phases go by.
func (s *Service) readBack(ctx context.Context, r *pay.Recovery) error {
	events, next, err := s.nextEvents(ctx, r.Stretches.Events)
	if err != nil {
		return err
	}
	n, err := s.Books.RestorePublished(ctx, events)
	if err != nil {
		return fmt.Errorf("restore published: %w", err)
	}
	// What was on its way at the backup had arrived since.
	if _, err := s.Books.HushEvents(ctx, idsOf(events)); err != nil {
		return fmt.Errorf("hush events: %w", err)
	}
	r.Counts.Events += n
	r.Stretches.Events = next
	return nil
}

func idsOf(events []pay.ToldEvent) []string {
	ids := make([]string, 0, len(events))
	for _, e := range events {
		if e.EventID != "" {
			ids = append(ids, e.EventID)
		}
	}
	return ids
}

func (s *Service) nextEvents(ctx context.Context, part pay.Stretch) ([]pay.ToldEvent, pay.Stretch, error) {
	events, err := s.Streams.ReadTold(ctx, part, eventPage)
	if err != nil {
		return nil, part, s.away(err)
	}
	part.Next = min(part.Next+eventPage, part.Until)
	return events, part, nil
}

// catchUp takes a page of what had been told once more, for what is not in the
// books yet: because only a question had brought it about, or because nothing
// that came later asked for it.
func (s *Service) catchUp(ctx context.Context, r *pay.Recovery) error {
	events, next, err := s.nextEvents(ctx, r.Stretches.Orders)
	if err != nil {
		return err
	}
	p := s.newPage(r)
	p.ending = true
	var keys []pay.OrderKey
	for _, e := range events {
		if e.EventID != "" {
			keys = append(keys, pay.OrderKey{MchID: e.MchID, OutTradeNo: e.OutTradeNo})
		}
	}
	if err := p.know(ctx, keys...); err != nil {
		return err
	}
	told := map[pay.OrderKey]int64{}
	for _, key := range keys {
		if _, seen := told[key]; seen {
			continue
		}
		told[key] = p.story(key).last()
		if err := p.complete(ctx, key); err != nil {
			return err
		}
	}
	if err := s.Books.CatchUpOrders(ctx, told); err != nil {
		return fmt.Errorf("catch up orders: %w", err)
	}
	r.Stretches.Orders = next
	return s.hush(ctx, r)
}

// complete takes whatever of an order's story is not in the books.
func (p *page) complete(ctx context.Context, key pay.OrderKey) error {
	if !slices.ContainsFunc(p.story(key), func(f fact) bool { return !f.done(p.book(key)) }) {
		return nil
	}
	whole, err := p.mend(ctx, key, p.story(key))
	if err != nil {
		return err
	}
	// What came too early for the books may be settled now.
	if _, err := p.Letters.Retry(ctx, key.MchID, key.OutTradeNo); err != nil {
		return fmt.Errorf("retry letters: %w", err)
	}
	if whole {
		return p.look(ctx, key)
	}
	for _, f := range p.story(key) {
		if !f.done(p.book(key)) && f.binds() {
			p.trouble(key, f.refund(), fmt.Sprintf("subscribers were told %s, and the books could not be brought there", f.Fact))
		}
	}
	return nil
}

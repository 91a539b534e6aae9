package recovery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// pagePacks and pageCommands are read for one page; maxArrivals bounds what a
	// page settles, since a pack may hold 256.
	pagePacks    = 200
	pageCommands = 200
	maxArrivals  = 500
	// placing is how many outcomes of order.create are recorded at the same time.
	placing = 8
	// killsAfter: a place that was begun so often and never left holds something
	// that kills whoever touches it.
	killsAfter = 5
)

// word is one message in its place: what a notification means, or a command.
type word struct {
	at      time.Time
	entry   pay.Entry
	command *pay.StoredCommand
}

// replay works off a page of notifications and commands:
//
//  1. read both streams and merge them by the time at which they were stored;
//  2. read what was told of the orders concerned, and what is in the books;
//  3. place the orders that are missing, and settle in one commit whatever means
//     the same in any order;
//  4. take the rest in its order, each behind all that was told before it;
//  5. record how orders were placed.
func (s *Service) replay(ctx context.Context, r *pay.Recovery) error {
	packs, commands, err := s.nextMessages(ctx, r)
	if err != nil {
		return err
	}
	if r.Tries > killsAfter {
		if err := s.oneByOne(ctx, r, packs); err != nil {
			return err
		}
		packs = nil
	}
	words, err := s.words(ctx, packs, commands)
	if err != nil {
		return err
	}
	p := s.newPage(r)
	var keys []pay.OrderKey
	for i := range words {
		if key, names := p.orderNamed(&words[i]); names {
			keys = append(keys, key)
		}
	}
	if err := p.know(ctx, keys...); err != nil {
		return err
	}
	if err := p.placeMissing(ctx, keys); err != nil {
		return err
	}
	if words, err = p.settlePlain(ctx, words); err != nil {
		return err
	}
	if err := p.takeInTurn(ctx, words); err != nil {
		return err
	}
	if err := p.recordPlacing(ctx, words); err != nil {
		return err
	}
	return s.hush(ctx, r)
}

// nextMessages reads both streams and gives as much of them as is known to come
// before everything that was not read.
func (s *Service) nextMessages(ctx context.Context, r *pay.Recovery) ([]wechatpay.StoredPack, []pay.StoredCommand, error) {
	notes, orders := &r.Stretches.Notifications, &r.Stretches.Commands
	packs, err1 := s.Streams.ReadNotifications(ctx, *notes, pagePacks)
	commands, err2 := s.Streams.ReadCommands(ctx, *orders, pageCommands)
	for _, err := range []error{err1, err2} {
		if err != nil {
			return nil, nil, s.away(err)
		}
	}
	readPacks, readCommands := min(notes.Next+pagePacks, notes.Until), min(orders.Next+pageCommands, orders.Until)
	i, j, arrivals := 0, 0, 0
	for arrivals < maxArrivals {
		pack, order := i < len(packs), j < len(commands)
		if !pack && readPacks < notes.Until || !order && readCommands < orders.Until || !pack && !order {
			break
		}
		// At the same instant the command comes first: it is the cause.
		if order && (!pack || !packs[i].StoredAt.Before(commands[j].StoredAt)) {
			j++
			continue
		}
		arrivals += len(packs[i].Arrivals)
		i++
	}
	notes.Next, orders.Next = readPacks, readCommands
	if i < len(packs) {
		notes.Next = packs[i].Sequence
	}
	if j < len(commands) {
		orders.Next = commands[j].Sequence
	}
	return packs[:i], commands[:j], nil
}

// words reads the notifications and puts them between the commands.
func (s *Service) words(ctx context.Context, packs []wechatpay.StoredPack, commands []pay.StoredCommand) ([]word, error) {
	var arrivals []wechatpay.Arrival
	storedAt := map[uint64]time.Time{}
	for _, pack := range packs {
		arrivals = append(arrivals, pack.Arrivals...)
		storedAt[pack.Sequence] = pack.StoredAt
	}
	entries, err := s.Settler.Read(ctx, arrivals)
	if err != nil {
		return nil, fmt.Errorf("read notifications: %w", err)
	}
	words := make([]word, 0, len(entries)+len(commands))
	for _, e := range entries {
		at := storedAt[e.Delivery.Position.Sequence]
		for len(commands) > 0 && !at.Before(commands[0].StoredAt) {
			words = append(words, word{at: commands[0].StoredAt, command: &commands[0]})
			commands = commands[1:]
		}
		words = append(words, word{at: at, entry: e})
	}
	for i := range commands {
		words = append(words, word{at: commands[i].StoredAt, command: &commands[i]})
	}
	return words, nil
}

// orderNamed is the order that a word names.
func (*page) orderNamed(w *word) (pay.OrderKey, bool) {
	var key pay.OrderKey
	switch obs := w.entry.Observation; {
	case w.command != nil:
		key = pay.OrderKey{MchID: w.command.MchID, OutTradeNo: w.command.OutTradeNo}
	case obs != nil:
		key = pay.OrderKey{MchID: obs.MchID, OutTradeNo: obs.OutTradeNo}
	}
	return key, key.OutTradeNo != ""
}

// placeMissing places the orders that were told of and are not in the books.
func (p *page) placeMissing(ctx context.Context, keys []pay.OrderKey) error {
	var missing []pay.OrderKey
	asked := map[pay.OrderKey]bool{}
	for _, key := range keys {
		if _, told := p.stories[key].find(pay.FactOrderCreated, ""); told && p.book(key) == nil && !asked[key] {
			asked[key] = true
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return p.place(ctx, missing...)
}

// settlePlain settles what means the same in any order, all of it in one commit,
// and gives the rest.
func (p *page) settlePlain(ctx context.Context, words []word) (rest []word, err error) {
	careful := map[pay.OrderKey]bool{}
	for i := range words {
		if key, names := p.orderNamed(&words[i]); names && !p.isPlain(key, &words[i]) {
			careful[key] = true
		}
	}
	var entries []pay.Entry
	prepared := map[pay.OrderKey]bool{}
	for _, w := range words {
		key, names := p.orderNamed(&w)
		if names && !careful[key] && !prepared[key] {
			prepared[key] = true
			entries = append(entries, p.preparedAgain(key)...)
		}
		if w.command != nil || names && careful[key] {
			rest = append(rest, w)
			continue
		}
		entries = append(entries, w.entry)
		p.run.Counts.Notifications++
	}
	if err := p.Settler.Commit(ctx, entries); err != nil {
		return nil, fmt.Errorf("settle %d notifications: %w", len(entries), err)
	}
	return rest, nil
}

// preparedAgain is that a buyer could pay the order, where that was told of.
func (p *page) preparedAgain(key pay.OrderKey) []pay.Entry {
	f, told := p.stories[key].find(pay.FactOrderPrepared, "")
	if book := p.book(key); !told || book == nil || f.done(book) {
		return nil
	}
	obs, _ := f.decided()
	return []pay.Entry{{Observation: &obs}}
}

// isPlain says whether a word about an order means the same whatever else comes
// before it: the one payment of an order that was placed and paid once, and its
// repeats.
func (p *page) isPlain(key pay.OrderKey, w *word) bool {
	switch {
	case w.command != nil:
		return w.command.Kind == pay.CommandOrderCreate && p.stories[key].plain()
	case w.entry.Observation.Kind != pay.ObservedPaid, !p.stories[key].plain():
		return false
	}
	paidBy := p.stories[key].paidBy()
	return paidBy == "" || paidBy == w.entry.Observation.TransactionID
}

// takeInTurn takes what is left, each behind all that was told before it.
func (p *page) takeInTurn(ctx context.Context, words []word) error {
	var floors map[pay.MchID]uint64
	for i := range words {
		w := &words[i]
		switch {
		case w.command == nil:
			if err := p.takeNotification(ctx, w); err != nil {
				return err
			}
		case w.command.Kind == pay.CommandOrderCreate && w.command.Spoilt == "":
			key, _ := p.orderNamed(w)
			if _, err := p.mend(ctx, key, p.stories[key].placing()); err != nil {
				return err
			}
		default:
			if floors == nil {
				var err error
				if floors, err = p.Streams.CommandFloors(ctx); err != nil {
					return p.away(err)
				}
			}
			if err := p.takeCommand(ctx, w, floors); err != nil {
				return err
			}
		}
	}
	return nil
}

// placing is what was told of an order's placing: that it was placed, and ready
// to be paid or refused.
func (s story) placing() story {
	for i, f := range s {
		if f.Fact != pay.FactOrderCreated && f.Fact != pay.FactOrderPrepared && f.Fact != pay.FactOrderFailed {
			return s[:i]
		}
	}
	return s
}

// takeNotification settles a notification whose meaning hangs on what came
// before. One that came too early waits as a letter, as it did then.
func (p *page) takeNotification(ctx context.Context, w *word) error {
	key, _ := p.orderNamed(w)
	p.run.Counts.Notifications++
	whole, err := p.mend(ctx, key, p.stories[key].beforeWord(w.entry.Observation, w.at))
	switch {
	case err != nil:
		return err
	case !whole:
		return p.settle(ctx, key, pay.Entry{Delivery: w.entry.Delivery, Letter: &pay.LetterCause{
			Reason: pay.LetterUnknownOrder, Detail: "the books were restored, and what had come before it is not in them yet",
		}})
	}
	return p.settle(ctx, key, w.entry)
}

// recordPlacing records how the orders of the page were placed. It comes last: an
// outcome tells the order as it stands.
func (p *page) recordPlacing(ctx context.Context, words []word) error {
	floors, err := p.Streams.CommandFloors(ctx)
	if err != nil {
		return p.away(err)
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(placing)
	for _, w := range words {
		if w.command == nil || w.command.Kind != pay.CommandOrderCreate || w.command.Spoilt != "" {
			continue
		}
		key, _ := p.orderNamed(&w)
		group.Go(func() error { return p.recover(ctx, key, *w.command, floors, &mu) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("recover commands: %w", err)
	}
	return nil
}

// oneByOne settles the notifications of a place that nobody has left alive, each
// after a count that is on disk before it is touched; the one that kills becomes
// a letter. Their order is lost; what is held against what was told comes after.
func (s *Service) oneByOne(ctx context.Context, r *pay.Recovery, packs []wechatpay.StoredPack) error {
	for _, pack := range packs {
		for i := range pack.Arrivals {
			pack.Arrivals[i].Deliveries = r.Tries + killsAfter
		}
		if err := s.Settler.Settle(ctx, pack.Arrivals); err != nil {
			return fmt.Errorf("settle notifications one by one: %w", err)
		}
		r.Counts.Notifications += len(pack.Arrivals)
	}
	r.Trouble(pay.RecoveryProblem{Detail: fmt.Sprintf("a place of NOTIFY was begun %d times; its notifications were settled one by one, without the order in which they came", r.Tries)})
	return nil
}

package recovery

import (
	"context"
	"fmt"
	"slices"
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
	// sideBySide is how many orders are taken at the same time: about as many as the
	// pool has connections.
	sideBySide = 6
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
	floors, err := s.Streams.CommandFloors(ctx)
	if err != nil {
		return s.away(err)
	}
	if err := p.takeInTurn(ctx, words, floors); err != nil {
		return err
	}
	if err := p.recordPlacing(ctx, words, floors); err != nil {
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
		if _, told := p.story(key).find(pay.FactOrderCreated, ""); told && p.book(key) == nil && !asked[key] {
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
	var entries []pay.Entry
	prepared := map[pay.OrderKey]bool{}
	for _, w := range words {
		key, names := p.orderNamed(&w)
		plain := !names || p.isPlain(key, &w)
		if names && plain && !prepared[key] {
			prepared[key] = true
			entries = append(entries, p.preparedAgain(key)...)
		}
		if w.command != nil || !plain {
			rest = append(rest, w)
			continue
		}
		entries = append(entries, w.entry)
		p.note(func(r *pay.Recovery) { r.Counts.Notifications++ })
	}
	if err := p.Settler.Commit(ctx, entries); err != nil {
		return nil, fmt.Errorf("settle %d notifications: %w", len(entries), err)
	}
	var keys []pay.OrderKey
	for i := range rest {
		if key, names := p.orderNamed(&rest[i]); names {
			keys = append(keys, key)
		}
	}
	return rest, p.look(ctx, keys...)
}

// preparedAgain is that a buyer could pay the order, where that was told of.
func (p *page) preparedAgain(key pay.OrderKey) []pay.Entry {
	f, told := p.story(key).find(pay.FactOrderPrepared, "")
	if book := p.book(key); !told || book == nil || f.done(book) {
		return nil
	}
	obs, _ := f.decided()
	return []pay.Entry{{Observation: &obs}}
}

// isPlain says whether a word about an order means the same whatever else comes
// before it: the one payment of an order that was placed and paid once, and its
// repeats. (What became of its refunds came after it, and is taken in turn.)
func (p *page) isPlain(key pay.OrderKey, w *word) bool {
	switch {
	case w.command != nil:
		return w.command.Kind == pay.CommandOrderCreate && p.story(key).paidPlainly()
	case w.entry.Observation.Kind != pay.ObservedPaid, !p.story(key).paidPlainly():
		return false
	}
	paidBy := p.story(key).paidBy()
	return paidBy == "" || paidBy == w.entry.Observation.TransactionID
}

// takeInTurn takes what is left: each order's words in the order in which they had
// their effect, behind all that was told before it, and orders side by side.
func (p *page) takeInTurn(ctx context.Context, words []word, floors map[pay.MchID]uint64) error {
	var keys []pay.OrderKey
	turns := map[pay.OrderKey][]*word{}
	for i := range words {
		key, err := p.orderOfWord(ctx, &words[i])
		if err != nil {
			return err
		}
		if turns[key] == nil {
			keys = append(keys, key)
		}
		turns[key] = append(turns[key], &words[i])
	}
	if err := p.know(ctx, keys...); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for _, key := range keys {
		group.Go(func() error {
			for _, w := range p.story(key).inTurn(turns[key]) {
				if err := p.take(ctx, key, w, floors); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait() //nolint:wrapcheck // of our own
}

// inTurn puts words about an order into the order of their effects. Two workers may
// have settled in another order than things were stored in.
func (s story) inTurn(words []*word) []*word {
	return slices.SortedStableFunc(slices.Values(words), func(a, b *word) int { return len(s.beforeEffect(a)) - len(s.beforeEffect(b)) })
}

// beforeEffect gives what came about before a word had its effect.
func (s story) beforeEffect(w *word) story {
	switch {
	case w.command == nil:
		return s.beforeWord(w.entry.Observation, w.at)
	case w.command.Kind == pay.CommandOrderCreate:
		return nil
	}
	return s.beforeCommand(w.command, w.at)
}

func (p *page) take(ctx context.Context, key pay.OrderKey, w *word, floors map[pay.MchID]uint64) error {
	switch {
	case w.command == nil:
		return p.takeNotification(ctx, key, w)
	case w.command.Kind == pay.CommandOrderCreate && w.command.Spoilt == "":
		_, err := p.mend(ctx, key, p.story(key).placing())
		return err
	}
	return p.takeCommand(ctx, key, w, floors)
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
func (p *page) takeNotification(ctx context.Context, key pay.OrderKey, w *word) error {
	p.note(func(r *pay.Recovery) { r.Counts.Notifications++ })
	whole, err := p.mend(ctx, key, p.story(key).beforeEffect(w))
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
func (p *page) recordPlacing(ctx context.Context, words []word, floors map[pay.MchID]uint64) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for _, w := range words {
		if w.command == nil || w.command.Kind != pay.CommandOrderCreate || w.command.Spoilt != "" {
			continue
		}
		key, _ := p.orderNamed(&w)
		group.Go(func() error { return p.recover(ctx, key, *w.command, floors) })
	}
	return group.Wait() //nolint:wrapcheck // of our own
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

package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Settle applies a batch of entries to the books in one transaction.
//
//  1. Lock the orders concerned, in the order of their keys.
//  2. Read their payments.
//  3. Let pay.Book decide, entry by entry, in the order given.
//  4. Write what changed: orders, history, events, payments, anomalies.
//  5. Archive the deliveries; write a letter for each that could not be settled,
//     and close the letters of those that could.
//
// After an error nothing of it is visible, or (a commit whose answer was lost)
// all of it: repeating the same call is right in both cases, since a second
// application changes nothing. An error that is not Retryable says that some
// entry holds what PostgreSQL or the schema refuses: the caller splits the
// batch until that entry stands alone and settles it as a letter, which always
// fits, because a delivery's bytes are stored as they are.
//
// Results are in the order of entries. An entry without a delivery leaves no
// archive row and no letter; its Result still says what became of it.
func (s *Store) Settle(ctx context.Context, entries []pay.Entry, policies func(pay.MchID) pay.Policies) (pay.Settled, error) {
	if len(entries) == 0 {
		return pay.Settled{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b := newBatch(entries)
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		if err := b.openBooks(ctx, tx); err != nil {
			return err
		}
		if err := b.decide(policies); err != nil {
			return err
		}
		if err := b.writeBooks(ctx, tx); err != nil {
			return err
		}
		return b.writeMail(ctx, tx)
	})
	if err != nil {
		return pay.Settled{}, err
	}
	return pay.Settled{Results: b.results, Events: b.events}, nil
}

// orderKey is what an order is found and locked by.
type orderKey struct {
	mchid      pay.MchID
	outTradeNo pay.OutTradeNo
}

func (k orderKey) compare(other orderKey) int {
	return cmp.Or(cmp.Compare(k.mchid, other.mchid), cmp.Compare(k.outTradeNo, other.outTradeNo))
}

// batch is one call of Settle from entries to rows.
type batch struct {
	entries  []pay.Entry
	observed []*pay.Observation // per entry; nil where there is nothing to decide
	ids      []string           // per entry: the delivery it rests on, or empty
	books    map[orderKey]*openBook

	results []pay.Result
	events  []pay.Outgoing

	history   historyColumns
	payments  paymentColumns
	anomalies anomalyColumns
}

// openBook is the book of one locked order and the sequence it was opened at.
type openBook struct {
	pay.Book
	opened int64
}

func newBatch(entries []pay.Entry) *batch {
	b := &batch{
		entries: entries, observed: make([]*pay.Observation, len(entries)), ids: make([]string, len(entries)),
		books: map[orderKey]*openBook{}, results: make([]pay.Result, len(entries)),
	}
	for i, e := range entries {
		b.ids[i] = sourceID(e)
		if e.Observation == nil || e.Letter != nil {
			continue
		}
		obs := settledObservation(*e.Observation)
		b.observed[i] = &obs
		b.books[keyOf(&obs)] = &openBook{Book: pay.Book{Payments: map[pay.TransactionID]pay.Payment{}}}
	}
	return b
}

// sourceID is the delivery that history names: the one archived beside it, or
// one that was archived before.
func sourceID(e pay.Entry) string {
	switch {
	case e.Delivery != nil:
		return archiveID(e.Delivery)
	case e.Observation != nil:
		if id, err := uuid.Parse(string(e.Observation.DeliveryID)); err == nil {
			return id.String()
		}
	}
	return ""
}

func keyOf(obs *pay.Observation) orderKey { return orderKey{obs.MchID, obs.OutTradeNo} }

// settledObservation gives an observation the times that will be read back,
// and makes the one text that is only for people storable.
func settledObservation(obs pay.Observation) pay.Observation {
	obs.ObservedAt, obs.PaidAt = instant(obs.ObservedAt), instant(obs.PaidAt)
	obs.Credential.ExpiresAt = instant(obs.Credential.ExpiresAt)
	obs.Reason = legible(obs.Reason)
	return obs
}

// sortedKeys are the orders of the batch in the order in which they are locked.
func (b *batch) sortedKeys() (mchids, numbers texts) {
	keys := make([]orderKey, 0, len(b.books))
	for key := range b.books {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, orderKey.compare)
	mchids, numbers = make(texts, len(keys)), make(texts, len(keys))
	for i, key := range keys {
		mchids[i], numbers[i] = string(key.mchid), string(key.outTradeNo)
	}
	return mchids, numbers
}

// decide applies every entry to its book.
func (b *batch) decide(policies func(pay.MchID) pay.Policies) error {
	var facts []pay.Event
	for i := range b.entries {
		change, err := b.apply(i, policies)
		if err != nil {
			return err
		}
		facts = append(facts, change.Events...)
		for _, line := range change.History {
			b.history.add(line, b.ids[i])
		}
		if change.Payment != nil {
			b.payments.add(change.Payment)
		}
		if change.Anomaly != nil {
			b.anomalies.add(change.Anomaly)
		}
	}
	for i, obs := range b.observed {
		if obs != nil {
			b.results[i].Order = b.books[keyOf(obs)].Order
		}
	}
	events, err := encodeEvents(facts)
	if err != nil {
		return &Error{step: "encode events", broken: true, err: err}
	}
	b.events = events
	return nil
}

// apply decides one entry. A panic in the rules is the entry's fault: the
// caller then finds it by splitting the batch.
func (b *batch) apply(i int, policies func(pay.MchID) pay.Policies) (change pay.Change, err error) {
	entry, obs := b.entries[i], b.observed[i]
	if entry.Letter != nil {
		b.results[i] = pay.Result{Outcome: pay.OutcomeLettered, Letter: entry.Letter}
		return pay.Change{}, nil
	}
	if obs == nil {
		b.results[i] = pay.Result{Outcome: pay.OutcomeArchived}
		return pay.Change{}, nil
	}
	defer func() {
		if thrown := recover(); thrown != nil {
			err = brokenf("apply observation", "entry %d of the batch: %v", i, thrown)
		}
	}()
	change = b.books[keyOf(obs)].Apply(*obs, policies(obs.MchID))
	b.results[i] = pay.Result{Outcome: change.Outcome(), Letter: change.Letter}
	return change, nil
}

// touched are the books that differ from what was read.
func (b *batch) touched() orderColumns {
	var orders orderColumns
	for _, book := range b.books {
		if book.Order != nil && book.Order.Sequence != book.opened {
			orders.add(book.Order, book.opened)
		}
	}
	return orders
}

// written is how many rows of each kind one statement wrote.
type written struct {
	Orders    int `db:"orders"`
	History   int `db:"history"`
	Events    int `db:"events"`
	Payments  int `db:"payments"`
	Anomalies int `db:"anomalies"`
}

func (w written) check(want written) error {
	if w != want {
		return brokenf("write changes", "the guards let %+v through of %+v", w, want)
	}
	return nil
}

package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Settle applies a batch of entries to the books in one transaction.
//
//  1. Lock the orders concerned, in the order of their keys, and read their
//     payments; lock the refunds, where an entry may move one.
//  2. Let pay.Book decide, entry by entry, in the order given.
//  3. Write what changed: orders, history, events, payments, anomalies, refunds.
//  4. Make due what WeChat Pay is to be asked about: hints, refunds of money
//     that we do not know.
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
	var b *batch
	err := racing(func() error {
		b = newBatch(entries)
		return s.inTx(ctx, func(tx *sqlx.Tx) error { return b.carryOut(ctx, tx, policies) })
	})
	if err != nil {
		return pay.Settled{}, err
	}
	return b.settled(), nil
}

// maxRaces bounds how often a batch is decided again because another order took
// a refund number meanwhile. The second time it sees that refund; a third loss
// would need yet another number of the batch to be taken at that very moment.
const maxRaces = 3

func racing(decide func() error) error {
	for try := 1; ; try++ {
		if err := decide(); try == maxRaces || !errors.Is(err, errNumberTaken) {
			return err
		}
	}
}

// carryOut takes a batch from its locks to its last row. Whether that counts is
// the transaction's business: a rehearsal is all of this, rolled back.
func (b *batch) carryOut(ctx context.Context, tx *sqlx.Tx, policies func(pay.MchID) pay.Policies) error {
	if err := b.openBooks(ctx, tx); err != nil {
		return err
	}
	if err := b.watch.open(ctx, tx, b); err != nil {
		return err
	}
	if err := b.decide(policies); err != nil {
		return err
	}
	if err := b.writeBooks(ctx, tx); err != nil {
		return err
	}
	if err := b.makeDue(ctx, tx); err != nil {
		return err
	}
	if err := b.writeMail(ctx, tx); err != nil {
		return err
	}
	return b.watch.close(ctx, tx, b)
}

func (b *batch) settled() pay.Settled { return pay.Settled{Results: b.results, Events: b.events} }

// orderKey is what an order is found and locked by.
type orderKey struct {
	mchid      pay.MchID
	outTradeNo pay.OutTradeNo
}

func (k orderKey) compare(other orderKey) int {
	return cmp.Or(cmp.Compare(k.mchid, other.mchid), cmp.Compare(k.outTradeNo, other.outTradeNo))
}

func keyOf(obs *pay.Observation) orderKey { return orderKey{obs.MchID, obs.OutTradeNo} }

// batch is one call of Settle from entries to rows.
type batch struct {
	entries  []pay.Entry
	observed []*pay.Observation // per entry; nil where there is nothing to decide
	ids      []string           // per entry: the delivery it rests on, or empty
	books    map[orderKey]*openBook
	refunds  map[refundKey]*openRefund
	named    map[refundKey][]orderKey // who asks for which refund number
	watch    *watcher                 // nil: nobody is told what each entry does

	results []pay.Result
	events  []pay.Outgoing

	history   historyColumns
	paid      []paymentKey // payments met for the first time
	anomalies anomalyColumns
	moved     []*pay.Anomaly // decided, or all of their money is back
	words     wordColumns    // whose decisions those were
	woken     []wokenLetter  // by payments
	checkNow  []orderKey
	audits    auditColumns
}

// paymentKey is what a payment is found by, in the book of its order.
type paymentKey struct {
	order orderKey
	id    pay.TransactionID
}

func newBatch(entries []pay.Entry) *batch {
	b := &batch{
		entries: entries, observed: make([]*pay.Observation, len(entries)), ids: make([]string, len(entries)),
		books: map[orderKey]*openBook{}, refunds: map[refundKey]*openRefund{}, results: make([]pay.Result, len(entries)),
	}
	for i, e := range entries {
		b.ids[i] = sourceID(e)
		if e.Observation == nil || e.Letter != nil {
			continue
		}
		obs := settledObservation(*e.Observation)
		b.observed[i] = &obs
		book := b.books[keyOf(&obs)]
		if book == nil {
			book = &openBook{Book: pay.Book{Payments: map[pay.TransactionID]pay.Payment{}}}
			b.books[keyOf(&obs)] = book
		}
		book.expect(&obs)
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

// settledObservation gives an observation the times that will be read back,
// and makes the texts that are only for people storable.
func settledObservation(obs pay.Observation) pay.Observation {
	obs.ObservedAt, obs.PaidAt, obs.SucceededAt = instant(obs.ObservedAt), instant(obs.PaidAt), instant(obs.SucceededAt)
	obs.Credential.ExpiresAt = instant(obs.Credential.ExpiresAt)
	obs.Reason, obs.ReceivedAccount, obs.Actor = legible(obs.Reason), legible(obs.ReceivedAccount), legible(obs.Actor)
	return obs
}

// decide applies every entry to its book.
func (b *batch) decide(policies func(pay.MchID) pay.Policies) error {
	var facts []pay.Event
	for i := range b.entries {
		b.watch.before(b, i)
		change, err := b.apply(i, policies)
		if err != nil {
			return err
		}
		b.watch.after(b, i, change)
		facts = append(facts, change.Events...)
		for _, line := range change.History {
			b.history.add(line, b.ids[i])
		}
		b.keep(b.observed[i], change)
		for _, entry := range change.Audits {
			if err := b.audits.add(entry); err != nil {
				return err
			}
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
	book := b.books[keyOf(obs)]
	change = book.Apply(*obs, policies(obs.MchID))
	book.looked(obs)
	b.results[i] = pay.Result{Outcome: change.Outcome(), Letter: change.Letter, Refusal: change.Refusal, Refund: aboutRefund(obs, change), Anomaly: aboutAnomaly(change)}
	return change, nil
}

// aboutRefund is the refund that an observation was about. One that a payment
// brought along (a policy's) is not what the payment was about.
func aboutRefund(obs *pay.Observation, change pay.Change) *pay.Refund {
	if !isAboutRefund(obs.Kind) || change.Refund != nil {
		return change.Refund
	}
	return change.NewRefund
}

// aboutAnomaly is a copy: the batch may move the anomaly on.
func aboutAnomaly(change pay.Change) *pay.Anomaly {
	if change.Anomaly == nil {
		return nil
	}
	a := *change.Anomaly
	return &a
}

// keep remembers what a change adds to the books beside the order itself.
func (b *batch) keep(obs *pay.Observation, change pay.Change) {
	if change.Payment != nil {
		b.paid = append(b.paid, paymentKey{keyOf(obs), change.Payment.TransactionID})
	}
	for _, a := range change.Anomalies {
		b.anomalies.add(&a)
	}
	if change.NewRefund != nil {
		b.enter(change.NewRefund)
	}
	b.decided(obs, change)
	if change.CheckNow {
		b.checkNow = append(b.checkNow, keyOf(obs))
	}
}

// sortedKeys are the orders of the batch that want fits, in the order in which
// rows are locked.
func (b *batch) sortedKeys(fits func(*openBook) bool) (mchids, numbers texts) {
	keys := make([]orderKey, 0, len(b.books))
	for key, book := range b.books {
		if fits(book) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, orderKey.compare)
	mchids, numbers = make(texts, len(keys)), make(texts, len(keys))
	for i, key := range keys {
		mchids[i], numbers[i] = string(key.mchid), string(key.outTradeNo)
	}
	return mchids, numbers
}

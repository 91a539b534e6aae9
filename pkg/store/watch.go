package store

import (
	"context"
	_ "embed"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

//go:embed queries/lock_letters.sql
var lockLettersSQL string

// watcher notes what each entry of a batch does, for whoever is to be told. What
// it tells is what the batch writes: the same changes, read at the same places.
// Settling without one does nothing more than it did.
type watcher struct {
	act     *pay.ReplayAct // nil: a rehearsal
	effects []pay.Effect
	told    [][]int64                     // per entry, the sequences that its events tell
	letters map[letterKey]pay.LetterState // before

	was standing // of the entry that is being decided
}

// letterKey is what a letter is found by.
type letterKey struct {
	MchID      string `db:"mchid"`
	DeliveryID string `db:"delivery_id"`
}

func newWatcher(entries []pay.Entry, act *pay.ReplayAct) *watcher {
	w := &watcher{act: act, effects: make([]pay.Effect, len(entries)), told: make([][]int64, len(entries))}
	for i, e := range entries {
		w.effects[i] = effectOf(e)
	}
	return w
}

// effectOf is what is known of an entry before any row was read.
func effectOf(e pay.Entry) pay.Effect {
	var effect pay.Effect
	if d := e.Delivery; d != nil {
		effect.Delivery, effect.MchID, effect.Kind = d.ID, d.MchID, d.Kind
	}
	if obs := e.Observation; obs != nil && e.Letter == nil {
		effect.MchID = obs.MchID
		effect.Order = &pay.OrderEffect{OrderKey: pay.OrderKey{MchID: obs.MchID, OutTradeNo: obs.OutTradeNo}}
	}
	return effect
}

// open is called with the books open: nothing has been decided.
func (w *watcher) open(ctx context.Context, tx *sqlx.Tx, b *batch) error {
	if w == nil {
		return nil
	}
	var err error
	if w.letters, err = b.lettersNow(ctx, tx); err != nil {
		return err
	}
	if w.act == nil {
		return nil
	}
	if err := w.agree(b); err != nil {
		return err
	}
	return w.audit(ctx, tx, b)
}

func (w *watcher) before(b *batch, i int) {
	if w == nil || b.observed[i] == nil {
		return
	}
	book := b.books[keyOf(b.observed[i])]
	effect := w.effects[i].Order
	effect.Known = true
	if book.Order != nil {
		effect.SequenceWas, effect.StateWas = book.Order.Sequence, book.Order.State
	}
	w.was = standingOf(book)
}

func (w *watcher) after(b *batch, i int, change pay.Change) {
	if w == nil {
		return
	}
	effect, obs := &w.effects[i], b.observed[i]
	effect.Outcome, effect.Cause = b.results[i].Outcome, b.results[i].Letter
	if hint := b.hint(i); hint != nil {
		effect.AsksRefund = hint.OutRefundNo
	}
	if obs == nil {
		return
	}
	book := b.books[keyOf(obs)]
	if book.Order != nil {
		effect.Order.SequenceIsNow, effect.Order.StateIsNow = book.Order.Sequence, book.Order.State
	}
	effect.History, effect.AsksOrder = change.History, change.CheckNow && book.Order != nil
	for _, a := range change.Anomalies {
		effect.Anomalies = append(effect.Anomalies, pay.AnomalyEffect{New: true, Anomaly: a})
	}
	for _, a := range change.Decided {
		effect.Anomalies = append(effect.Anomalies, pay.AnomalyEffect{Anomaly: *a})
	}
	effect.Payments, effect.Refunds = w.was.paymentsOf(book), w.was.refundsOf(book)
	for _, e := range change.Events {
		w.told[i] = append(w.told[i], e.Order.Sequence)
	}
}

// close is called when all is written.
func (w *watcher) close(ctx context.Context, tx *sqlx.Tx, b *batch) error {
	if w == nil {
		return nil
	}
	w.takeEvents(b)
	w.takeWoken(b)
	now, err := b.lettersNow(ctx, tx)
	if err != nil {
		return err
	}
	for i, e := range b.entries {
		if e.Delivery == nil {
			continue
		}
		key := letterKey{archiveMchid(e.Delivery.MchID), b.ids[i]}
		if was, is := w.letters[key], now[key]; is != "" {
			w.effects[i].Letter = &pay.LetterEffect{StateWas: was, StateIsNow: is}
		}
	}
	return nil
}

// takeEvents gives each entry its own: the batch encodes them in the order in
// which they were caused.
func (w *watcher) takeEvents(b *batch) {
	next := b.events
	for i, sequences := range w.told {
		for k, sequence := range sequences {
			w.effects[i].Events = append(w.effects[i].Events, pay.EventEffect{EventID: next[k].EventID, Fact: next[k].Fact, Sequence: sequence})
		}
		next = next[len(sequences):]
	}
}

// takeWoken tells of the letters that a payment makes due, but for those of this
// batch: what becomes of these is told where they stand.
func (w *watcher) takeWoken(b *batch) {
	for _, l := range b.woken {
		if _, ours := w.letters[letterKey{l.MchID, l.DeliveryID}]; ours {
			continue
		}
		for i := range w.effects {
			order := w.effects[i].Order
			if order != nil && order.OrderKey == (pay.OrderKey{MchID: pay.MchID(l.MchID), OutTradeNo: pay.OutTradeNo(l.OutTradeNo)}) && w.paysAnew(i) {
				w.effects[i].Wakes = append(w.effects[i].Wakes, pay.DeliveryID(l.DeliveryID))
				break
			}
		}
	}
}

func (w *watcher) paysAnew(i int) bool {
	return slices.ContainsFunc(w.effects[i].Payments, func(p pay.PaymentEffect) bool { return p.New })
}

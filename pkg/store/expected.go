package store

import (
	"cmp"
	"context"
	_ "embed"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

//go:embed queries/audit_replay.sql
var auditReplaySQL string

// SettleExpected is Settle for an operator who has seen what it would do: it goes
// through as a whole, or, where an order is not as it was seen, not at all. The
// orders are compared under their locks, in the transaction that moves them, and
// who did it and why is written in the same commit.
//
// It ends with a *pay.MovedError, a *pay.DiscardedError, or pay.ErrBusy where a row
// is held by somebody else for longer than the caller would wait.
func (s *Store) SettleExpected(ctx context.Context, entries []pay.Entry, act pay.ReplayAct, policies func(pay.MchID) pay.Policies) (pay.Settled, []pay.Effect, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var b *batch
	err := racing(func() error {
		b = newBatch(entries)
		b.watch = newWatcher(entries, &act)
		return s.inTx(ctx, func(tx *sqlx.Tx) error {
			if err := beImpatient(ctx, tx, expectedLockTimeout, expectedStatementTimeout); err != nil {
				return err
			}
			return b.carryOut(ctx, tx, policies)
		})
	})
	if err != nil {
		return pay.Settled{}, nil, asBusy(err)
	}
	return b.settled(), b.watch.effects, nil
}

// agree holds the locked orders against what was expected of them, in the order
// of their keys, and refuses what a person has discarded.
func (w *watcher) agree(b *batch) error {
	keys := make([]orderKey, 0, len(b.books))
	for key := range b.books {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, orderKey.compare)
	for _, key := range keys {
		moved := pay.MovedError{Order: pay.OrderKey{MchID: key.mchid, OutTradeNo: key.outTradeNo}, Actual: b.books[key].opened}
		expected, asked := w.act.Orders[moved.Order]
		if moved.Expected, moved.Unasked = expected, !asked; !asked || expected != moved.Actual {
			return &Error{step: "compare orders", broken: true, err: &moved}
		}
	}
	for i, e := range b.entries {
		if e.Delivery != nil && w.letters[letterKey{archiveMchid(e.Delivery.MchID), b.ids[i]}] == pay.LetterDiscarded {
			return &Error{step: "compare letters", broken: true, err: &pay.DiscardedError{Delivery: e.Delivery.ID}}
		}
	}
	return nil
}

// audit is written before anything else: afterwards a message that had no letter
// may have one.
func (w *watcher) audit(ctx context.Context, tx *sqlx.Tx, b *batch) error {
	mchids, ids := b.mailKeys()
	_, err := tx.ExecContext(ctx, auditReplaySQL, mchids, ids, legible(w.act.Actor), legible(w.act.Reason))
	return failed(ctx, "write audit", err)
}

// lettersNow locks the letters that the batch's deliveries have.
func (b *batch) lettersNow(ctx context.Context, tx *sqlx.Tx) (map[letterKey]pay.LetterState, error) {
	mchids, ids := b.mailKeys()
	if len(mchids) == 0 {
		return nil, nil
	}
	var rows []struct {
		letterKey

		State string `db:"state"`
	}
	if err := tx.SelectContext(ctx, &rows, lockLettersSQL, mchids, ids); err != nil {
		return nil, failed(ctx, "lock letters", err)
	}
	letters := make(map[letterKey]pay.LetterState, len(rows))
	for _, row := range rows {
		letters[row.letterKey] = pay.LetterState(row.State)
	}
	return letters, nil
}

// mailKeys are the deliveries of the batch, each once.
func (b *batch) mailKeys() (mchids texts, ids uuids) {
	var keys []letterKey
	for i, e := range b.entries {
		if e.Delivery != nil {
			keys = append(keys, letterKey{archiveMchid(e.Delivery.MchID), b.ids[i]})
		}
	}
	slices.SortFunc(keys, func(a, b letterKey) int {
		return cmp.Or(cmp.Compare(a.MchID, b.MchID), cmp.Compare(a.DeliveryID, b.DeliveryID))
	})
	for _, key := range slices.Compact(keys) {
		mchids, ids = append(mchids, key.MchID), append(ids, key.DeliveryID)
	}
	return mchids, ids
}

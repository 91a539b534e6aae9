package subscribe

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	pruneBatch   = 1000 // rows in one transaction: short locks, also after a year without pruning
	pruneEvery   = time.Hour
	pruneTimeout = time.Minute // for one batch
)

// Prune forgets the events of this inbox that were remembered longer ago than
// that, in batches, and says how many. What is forgotten could count again, so
// it refuses less than 100 days unless ShortMemory is set. Run calls it each
// hour with Keep; any number of instances may at the same time.
func (i *Inbox) Prune(ctx context.Context, olderThan time.Duration) (int64, error) {
	if olderThan <= 0 || (olderThan < leastKeep && !i.o.ShortMemory) {
		return 0, fmt.Errorf("prune: %w", tooShort(olderThan))
	}
	var all int64
	for {
		n, err := i.pruneOnce(ctx, olderThan)
		all += n
		if err != nil {
			return all, fmt.Errorf("prune: %w", err)
		}
		if n < pruneBatch {
			return all, nil
		}
	}
}

func (i *Inbox) pruneOnce(ctx context.Context, olderThan time.Duration) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, pruneTimeout)
	defer cancel()
	// The database's clock wrote received_at, so it judges.
	//nolint:gosec // a table's name cannot be a parameter; it is quoted
	done, err := i.o.DB.ExecContext(ctx, `DELETE FROM `+i.table+` WHERE inbox = $1 AND event_id IN (
		SELECT event_id FROM `+i.table+` WHERE inbox = $1 AND received_at < now() - $2 * interval '1 second'
		ORDER BY received_at LIMIT $3 FOR UPDATE SKIP LOCKED)`, i.o.Name, olderThan.Seconds(), pruneBatch)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// keepShort prunes now and each hour until ctx ends.
func (i *Inbox) keepShort(ctx context.Context) {
	if i.o.Keep < 0 {
		return
	}
	for ctx.Err() == nil {
		if _, err := i.Prune(ctx, i.o.Keep); err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
			i.report(Failure{Step: StepPrune, Err: err, Again: i.pace.prune})
		}
		pause(ctx, i.pace.prune)
	}
}

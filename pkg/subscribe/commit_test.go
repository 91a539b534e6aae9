package subscribe

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
)

// The answer to a COMMIT is lost, once after it took effect and once before.
func TestInbox_has_one_effect_when_the_outcome_of_a_commit_is_unknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	commits := &lostCommits{}
	connector, err := pq.NewConnector(w.dbURL)
	require.NoError(t, err)
	db := sql.OpenDB(lossyConnector{connector, commits})
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	i, seen := w.open(t, func(o *Options) { o.DB = db })
	require.NoError(t, EnsureTable(t.Context(), w.db, DefaultTable))
	facts := storyOf(40)
	w.publish(t, disordered(facts)...)
	run(t, i, shop)
	w.drained(t)
	w.requireOneEffect(t, facts)
	require.Greater(t, commits.after.Load(), int64(5))
	require.Greater(t, commits.before.Load(), int64(5))
	require.GreaterOrEqual(t, int64(len(seen.of(StepCommit))), commits.after.Load())
}

type lostCommits struct{ all, before, after atomic.Int64 }

// lossyConnector gives connections whose commits lose their answers.
type lossyConnector struct {
	driver.Connector
	commits *lostCommits
}

func (c lossyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return lossyConn{conn.(fullConn), c.commits}, nil
}

type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
}

type lossyConn struct {
	fullConn
	commits *lostCommits
}

func (c lossyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.fullConn.BeginTx(ctx, o)
	return lossyTx{tx, c}, err
}

type lossyTx struct {
	driver.Tx
	conn lossyConn
}

var errAnswerLost = errors.New("connection reset by peer")

func (tx lossyTx) Commit() error {
	switch tx.conn.commits.all.Add(1) % 5 {
	case 1:
		tx.conn.commits.after.Add(1)
		return errors.Join(tx.Tx.Commit(), errAnswerLost)
	case 3:
		tx.conn.commits.before.Add(1)
		return errors.Join(tx.Rollback(), errAnswerLost)
	}
	return tx.Tx.Commit()
}

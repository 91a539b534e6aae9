package store

import (
	"context"
	_ "embed"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/archive_deliveries.sql
	archiveDeliveriesSQL string
	//go:embed queries/write_letters.sql
	writeLettersSQL string
)

// writeMail archives the deliveries of the batch, closes the letters of what
// is settled now, and writes letters for what is not.
func (b *batch) writeMail(ctx context.Context, tx *sqlx.Tx) error {
	mail := b.mail()
	if len(mail) == 0 {
		return nil
	}
	var all, lettered deliveryColumns
	var settledMchids texts
	var settledIDs uuids
	var causes letterColumns
	for _, f := range mail {
		all.add(f)
		if f.letter == nil {
			settledMchids = append(settledMchids, archiveMchid(f.MchID))
			settledIDs = append(settledIDs, f.id)
			continue
		}
		lettered.add(f)
		causes.add(f.letter)
	}
	if _, err := tx.ExecContext(ctx, archiveDeliveriesSQL, append(all.args(), settledMchids, settledIDs)...); err != nil {
		return failed(ctx, "archive deliveries", err)
	}
	if len(causes.reason) == 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, writeLettersSQL, append(lettered.args(), causes.args()...)...); err != nil {
		return failed(ctx, "write letters", err)
	}
	return nil
}

// letterColumns are the causes that stand beside deliveryColumns.
type letterColumns struct {
	reason, detail, state texts
}

func (c *letterColumns) add(cause *pay.LetterCause) {
	c.reason = append(c.reason, string(cause.Reason))
	c.detail = append(c.detail, legible(cause.Detail))
	c.state = append(c.state, string(cause.Reason.InitialState()))
}

func (c *letterColumns) args() []any { return []any{c.reason, c.detail, c.state} }

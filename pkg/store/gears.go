package store

import (
	"context"
	"database/sql"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/shift_gear.sql
	shiftGearSQL string
	//go:embed queries/pull_orders.sql
	pullOrdersSQL string
	//go:embed queries/end_pull.sql
	endPullSQL string
	//go:embed queries/backlog.sql
	backlogSQL string
)

const (
	// gearLooksAt is how many of the last payments say whether notifications
	// arrive, and noticeWithin how soon after we knew of a payment its own must be there.
	gearLooksAt  = 20
	noticeWithin = 60 * time.Second
	// noticeSooner: WeChat Pay posts the first notification as soon as it has
	// taken the money and the second 15 s later (doc 4012791861), so a payment that
	// is older than this when a query finds it missed its first.
	noticeSooner = 5 * time.Second
	// holdTight is for how long payments that were missed keep the gear tight,
	// so that it does not change to and fro where only some are: until the
	// last of them can be judged by noticeWithin.
	holdTight = noticeWithin + tightYoung

	// The tight gear: young orders are looked at every tightYoung, others every tightOld.
	youngFor   = 15 * time.Minute
	tightYoung = 10 * time.Second
	tightOld   = 60 * time.Second

	// pullBatch rows are locked at a time and for some tens of milliseconds, so
	// that settling hardly waits; pullBatches bounds what one call does.
	pullBatch   = 1000
	pullBatches = 10
	// pullFor after the change orders are still pulled forward: a claimer that
	// has not heard of the change plans for the old gear until then, and rows
	// that somebody held were passed over.
	pullFor = 10 * time.Second
)

// ShiftGear looks at the merchant's last payments and says how often its open
// orders are to be asked about: often as soon as one of them was missed, seldom
// once the last twenty all had their notifications, otherwise as before. Missed
// is a payment without a notification a minute after it was known, and at once
// one that a query found when its notification was overdue. To exactly one
// caller it says that this is a change.
//
// A merchant begins tight: nothing is known of its notifications yet. That is
// the first call ever and not the start of a process: reconcilers start and
// stop all the time, and each start would ask about everything at once, for
// nothing that the last payments do not tell as well.
//
// When the gear becomes tight, open orders that were put off for long are
// pulled forward, in small commits of their own: one large one would hold up
// settling. That this is to be done is kept with the gear, so that somebody
// else goes on with it where this process ends, and it goes on for a while,
// until everybody plans for the new gear.
func (s *Store) ShiftGear(ctx context.Context, mchid pay.MchID) (gear pay.Gear, changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row struct {
		Gear    string `db:"gear"`
		Changed bool   `db:"changed"`
		Pulling bool   `db:"pulling"`
	}
	err = s.db.GetContext(ctx, &row, shiftGearSQL, string(mchid), gearLooksAt, noticeWithin.Seconds(), pullFor.Seconds(), noticeSooner.Seconds(), holdTight.Seconds())
	if err != nil {
		return "", false, failed(ctx, "shift gear", err)
	}
	if row.Pulling {
		err = s.pullOrders(ctx, mchid)
	}
	return pay.Gear(row.Gear), row.Changed, err
}

// pullOrders goes through the orders that are due late, from the soonest on.
// Only when it came to the end may the pulling be over.
func (s *Store) pullOrders(ctx context.Context, mchid pay.MchID) error {
	var row struct {
		Pulled  int          `db:"pulled"`
		Reached sql.NullTime `db:"reached"`
	}
	for range pullBatches {
		from := instant(row.Reached.Time)
		err := s.db.GetContext(ctx, &row, pullOrdersSQL, string(mchid), from, pullBatch, youngFor.Seconds(), tightYoung.Seconds(), tightOld.Seconds())
		if err != nil {
			return failed(ctx, "pull orders forward", err)
		}
		if row.Pulled < pullBatch {
			_, err = s.db.ExecContext(ctx, endPullSQL, string(mchid))
			return failed(ctx, "end pull", err)
		}
	}
	return nil
}

// Backlog counts a merchant's unresolved orders.
func (s *Store) Backlog(ctx context.Context, mchid pay.MchID) (pay.Backlog, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row struct {
		Young int `db:"young"`
		Old   int `db:"old"`
		Due   int `db:"due"`
	}
	if err := s.db.GetContext(ctx, &row, backlogSQL, string(mchid), youngFor.Seconds()); err != nil {
		return pay.Backlog{}, failed(ctx, "count backlog", err)
	}
	return pay.Backlog{Young: row.Young, Old: row.Old, Due: row.Due}, nil
}

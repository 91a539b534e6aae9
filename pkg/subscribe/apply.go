package subscribe

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
)

// apply has one message take effect, once: the memory of it and the effect are
// one commit. When it returns nil the effect is committed, by this call or by
// an earlier one.
//
// An instance that works on the same event holds the row's lock: the INSERT
// waits for its end and then finds the row, or finds none and goes on.
func (i *Inbox) apply(ctx context.Context, p parcel) (Step, error) {
	tx, err := i.o.DB.BeginTx(ctx, &sql.TxOptions{Isolation: i.o.Isolation})
	if err != nil {
		return StepBegin, err
	}
	defer tx.Rollback() //nolint:errcheck // after the commit there is nothing to roll back
	i.at(StepBegin)
	isNew, err := i.remember(ctx, tx, p.id)
	if err != nil {
		return StepRemember, err
	}
	if !isNew {
		return "", nil // the row is there, so the commit that brought it is
	}
	i.at(StepRemember)
	if err := call(func() error { return p.do(ctx, tx) }); err != nil {
		return StepHandle, err
	}
	i.at(StepHandle)
	// An error here says that the outcome is unknown; the row will tell.
	if err := tx.Commit(); err != nil {
		return StepCommit, err
	}
	i.at(StepCommit)
	return "", nil
}

func (i *Inbox) remember(ctx context.Context, tx *sql.Tx, id string) (isNew bool, _ error) {
	done, err := tx.ExecContext(ctx, `INSERT INTO `+i.table+` (inbox, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, i.o.Name, id) //nolint:gosec // a table's name cannot be a parameter; it is quoted
	if err != nil {
		return false, err
	}
	rows, err := done.RowsAffected()
	return rows == 1, err
}

// call turns a panic into an error. The handler has a goroutine of its own,
// because one that ends it (as a failed test assertion does) would take an
// event's hand with it.
func call(do func() error) error {
	err := errors.New("the handler ended its goroutine without returning (runtime.Goexit)")
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the handler panics: %v\n%s", p, debug.Stack())
			}
		}()
		err = do()
	}()
	<-done
	return err
}

var uuidShape = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

func checkID(id string) error {
	if !uuidShape.MatchString(id) {
		return fmt.Errorf("id %q is not a UUID: this is no event of fenflow", id)
	}
	return nil
}

// idOfBytes names what has no id of its own, with the version (8, of one's own
// making) and variant bits of RFC 9562.
func idOfBytes(raw []byte) string {
	sum := sha256.Sum256(raw)
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

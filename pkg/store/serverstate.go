package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/server_state.sql
	serverStateSQL string
	//go:embed queries/stray_rows.sql
	strayRowsSQL string
	//go:embed queries/latest_notifications.sql
	latestNotificationsSQL string
)

// OldestServer is the oldest PostgreSQL that is supported, as server_version_num.
const OldestServer = 150000

// ServerState is what fenflow asks of the server beyond durability.
type ServerState struct {
	Version        int    `db:"version"`
	VersionText    string `db:"version_text"`
	Standby        bool   `db:"standby"` // it replays another server's log, and takes no writes
	Autovacuum     bool   `db:"autovacuum"`
	MaxConnections int    `db:"max_connections"`
	Reserved       int    `db:"reserved"` // of those, for superusers
	InUse          int    `db:"in_use"`   // by everybody
}

// ServerState asks the server about itself. It needs no table.
func (s *Store) ServerState(ctx context.Context) (ServerState, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var state ServerState
	return state, failed(ctx, "ask the server about itself", s.db.GetContext(ctx, &state, serverStateSQL))
}

// Clock is the server's time.
func (s *Store) Clock(ctx context.Context) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = s.db.GetContext(ctx, &at, `SELECT clock_timestamp()`)
	return at.UTC(), failed(ctx, "read the database's clock", err)
}

// MissingPartition is a child table that EnsurePartitions would make.
type MissingPartition struct {
	Name  string
	Wants time.Time // when the first row will need it
}

// MissingPartitions lists what rows will need within the next two weeks and is
// not there, the soonest first, and says whether rows went astray by now.
func (s *Store) MissingPartitions(ctx context.Context, now time.Time) (missing []MissingPartition, stray bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, p := range wantedPartitions(now) {
		exists, err := hasTable(ctx, s.db, p.name)
		if err != nil {
			return nil, false, err
		}
		if !exists {
			missing = append(missing, MissingPartition{p.name, p.begins})
		}
	}
	err = s.db.GetContext(ctx, &stray, strayRowsSQL)
	return missing, stray, failed(ctx, "look for stray rows", err)
}

// StoredNotification is a notification as it arrived, and the key that verified
// it then; none, where none did.
type StoredNotification struct {
	DeliveryID pay.DeliveryID
	Kind       pay.DeliveryKind
	ReceivedAt time.Time
	Headers    map[string]string
	Body       []byte
	KeyID      string
}

// LatestNotifications gives the newest notifications of a merchant, with their bytes.
func (s *Store) LatestNotifications(ctx context.Context, mchid pay.MchID, limit int) ([]StoredNotification, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []struct {
		ID         string    `db:"delivery_id"`
		Kind       string    `db:"kind"`
		ReceivedAt time.Time `db:"received_at"`
		Headers    string    `db:"headers"`
		Body       []byte    `db:"body"`
		KeyID      string    `db:"key_id"`
	}
	if err := s.db.SelectContext(ctx, &rows, latestNotificationsSQL, string(mchid), limit); err != nil {
		return nil, failed(ctx, "read the newest notifications", err)
	}
	all := make([]StoredNotification, len(rows))
	for i, r := range rows {
		headers, err := decodeHeaders(r.Headers)
		if err != nil {
			return nil, brokenf("read the newest notifications", "delivery %s: %w", r.ID, err)
		}
		all[i] = StoredNotification{pay.DeliveryID(r.ID), pay.DeliveryKind(r.Kind), r.ReceivedAt.UTC(), headers, r.Body, r.KeyID}
	}
	return all, nil
}

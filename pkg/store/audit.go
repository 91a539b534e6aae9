package store

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/list_audit.sql
	listAuditSQL string
	//go:embed queries/write_audits.sql
	writeAuditsSQL string
)

// Audit reads a page of the audit log, the newest first. Entries are written
// by the statements that do what they tell of.
func (s *Store) Audit(ctx context.Context, f pay.AuditFilter) ([]pay.AuditEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []auditRow
	err := s.db.SelectContext(ctx, &rows, listAuditSQL, orEdge(f.Since, always), orEdge(f.AfterAt, never), orFirst(f.AfterID), page(f.Limit))
	if err != nil {
		return nil, failed(ctx, "list audit", err)
	}
	entries := make([]pay.AuditEntry, len(rows))
	for i := range rows {
		if entries[i], err = rows[i].entry(); err != nil {
			return nil, &Error{step: "list audit", broken: true, err: err}
		}
	}
	return entries, nil
}

type auditRow struct {
	MchID   string    `db:"mchid"`
	AuditID string    `db:"audit_id"`
	At      time.Time `db:"at"`
	Actor   string    `db:"actor"`
	Action  string    `db:"action"`
	Subject string    `db:"subject"`
	Detail  []byte    `db:"detail"`
}

func (r *auditRow) entry() (pay.AuditEntry, error) {
	entry := pay.AuditEntry{ID: r.AuditID, At: instant(r.At), MchID: pay.MchID(r.MchID), Actor: r.Actor, Action: r.Action, Subject: r.Subject}
	if err := json.Unmarshal(r.Detail, &entry.Detail); err != nil {
		return pay.AuditEntry{}, fmt.Errorf("read detail of %s: %w", r.AuditID, err)
	}
	return entry, nil
}

// auditColumns are entries of the audit log on their way.
type auditColumns struct {
	id                                     uuids
	mchid, actor, action, subject, details texts
}

func (c *auditColumns) add(e pay.AuditEntry) error {
	detail := map[string]any{}
	for name, value := range e.Detail {
		if text, is := value.(string); is {
			value = legible(text)
		}
		detail[name] = value
	}
	raw, err := json.Marshal(detail)
	if err != nil {
		return &Error{step: "write audit", broken: true, err: fmt.Errorf("detail of %s: %w", e.Action, err)}
	}
	c.id = append(c.id, e.ID)
	c.mchid = append(c.mchid, archiveMchid(e.MchID))
	c.actor = append(c.actor, legible(e.Actor))
	c.action = append(c.action, e.Action)
	c.subject = append(c.subject, legible(e.Subject))
	c.details = append(c.details, string(raw))
	return nil
}

func (c *auditColumns) write(ctx context.Context, db sqlx.ExecerContext) error {
	if len(c.id) == 0 {
		return nil
	}
	_, err := db.ExecContext(ctx, writeAuditsSQL, c.mchid, c.id, c.actor, c.action, c.subject, c.details)
	return failed(ctx, "write audit", err)
}

// WriteAudit tells the audit of an act whose effect is not in the books: a call
// that is about to be made. The same act, by its ID, is told once, however often it is
// carried out; without one each call is another.
func (s *Store) WriteAudit(ctx context.Context, e pay.AuditEntry) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e.ID = cmp.Or(e.ID, uuid.NewString())
	var entry auditColumns
	if err := entry.add(e); err != nil {
		return err
	}
	return entry.write(ctx, s.db)
}

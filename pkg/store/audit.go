package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/list_audit.sql
	listAuditSQL string
	//go:embed queries/write_audit.sql
	writeAuditSQL string
)

// WriteAudit writes down an act whose effect is not in the books: before it is
// done, so that none is done without.
func (s *Store) WriteAudit(ctx context.Context, e pay.AuditEntry) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	said := make(map[string]any, len(e.Detail))
	for key, value := range e.Detail {
		if text, ok := value.(string); ok {
			value = legible(text)
		}
		said[key] = value
	}
	detail, err := json.Marshal(said)
	if err != nil {
		return brokenf("write audit", "encode detail: %w", err)
	}
	_, err = s.db.ExecContext(ctx, writeAuditSQL, archiveMchid(e.MchID), uuid.NewString(), legible(e.Actor), e.Action, legible(e.Subject), string(detail))
	return failed(ctx, "write audit", err)
}

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

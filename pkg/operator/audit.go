package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Audits tells who did what.
type Audits interface {
	Audit(ctx context.Context, f pay.AuditFilter) ([]pay.AuditEntry, error)
}

type auditDocument struct {
	ID      string         `json:"audit_id"`
	At      time.Time      `json:"at"`
	MchID   string         `json:"mchid,omitempty"`
	Actor   string         `json:"actor"`
	Action  string         `json:"action"`
	Subject string         `json:"subject,omitempty"`
	Detail  map[string]any `json:"detail,omitempty"`
}

type auditPage struct {
	Entries    []auditDocument `json:"entries"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

func (a *API) listAudit(w http.ResponseWriter, c *call) error {
	q := c.query
	after := q.cursor("audit", func(c cursor) bool { return uuidShape.MatchString(c.ID) })
	f := pay.AuditFilter{Since: q.since(), AfterAt: after.At, AfterID: after.ID}
	limit := q.limit()
	f.Limit = limit + 1 // the one more says whether there is another page
	if err := q.done(); err != nil {
		return err
	}
	entries, err := a.Books.Audit(c.Context(), f)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	entries, next := page(entries, limit, func(e pay.AuditEntry) cursor { return cursor{Of: "audit", At: e.At, ID: e.ID} })
	return answer(w, auditPage{each(entries, func(e pay.AuditEntry) auditDocument {
		return auditDocument{e.ID, e.At, string(e.MchID), e.Actor, e.Action, e.Subject, e.Detail}
	}), next})
}

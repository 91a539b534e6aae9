package operator

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/problem"
)

// Questions to a worker; their names are those of package bus.
const (
	askRecover     = "fenflow.operate.recover"
	askRecoverable = "fenflow.operate.recoverable"
)

// stillUnderWay is what to do when no answer comes: a step that was begun is
// ended all the same, and a step may be made any number of times.
const stillUnderWay = "Send the same request again: what was done is kept, and it goes on from there."

func (a *API) routeRecoveries(r chi.Router) {
	a.route(r, http.MethodPost, "/operator/v1/recoveries", a.recover)
	a.route(r, http.MethodGet, "/operator/v1/recoverable-commands", a.listRecoverableCommands)
}

type recoverQuestion struct {
	Since  time.Time `json:"since"`
	ID     string    `json:"recovery_id,omitempty"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason"`
}

func (a *API) recover(w http.ResponseWriter, c *call) error {
	if err := c.query.done(); err != nil {
		return err
	}
	f, err := readFields(w, c.Request)
	if err != nil {
		return err
	}
	q := recoverQuestion{Actor: c.actor(), Since: f.requiredSince(), ID: f.recoveryID(), Reason: f.reason()}
	if err := f.done(); err != nil {
		return err
	}
	note(w, slog.Time("since", q.Since), slog.String("recovery_id", q.ID))
	raw, err := a.ask(c.Context(), askRecover, q, stillUnderWay)
	if err != nil {
		return err
	}
	return answer(w, raw)
}

func (f *fields) requiredSince() time.Time {
	if _, given := f.given["since"]; !given {
		f.bad("since", "is missing; say when the backup was begun, as in RFC 3339")
	}
	return f.since()
}

func (f *fields) recoveryID() string {
	var text string
	if f.take("recovery_id", "a UUID", &text) && !uuidShape.MatchString(text) {
		f.bad("recovery_id", "is %s; it must be a UUID", shown(text))
	}
	return text
}

type recoverablePage struct {
	Commands   json.RawMessage `json:"commands"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

func (a *API) listRecoverableCommands(w http.ResponseWriter, c *call) error {
	q := c.query
	since := q.since()
	if len(q.values["since"]) == 0 {
		q.bad("since", "is missing; say since when, as in RFC 3339")
	}
	position := func(c cursor) uint64 {
		n, err := strconv.ParseUint(c.ID, 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	after := q.cursor("recoverable", func(c cursor) bool { return position(c) > 0 })
	limit := q.limit()
	if err := q.done(); err != nil {
		return err
	}
	raw, err := a.ask(c.Context(), askRecoverable, map[string]any{"since": since, "after": position(after), "limit": limit}, "Send the same request again.")
	if err != nil {
		return err
	}
	var found struct {
		Commands json.RawMessage `json:"commands"`
		After    uint64          `json:"after"`
	}
	if err := json.Unmarshal(raw, &found); err != nil {
		return problem.Wrap(problem.Internal, err, "")
	}
	page := recoverablePage{Commands: found.Commands}
	if found.After > 0 {
		page.NextCursor = cursor{Of: "recoverable", At: since, ID: strconv.FormatUint(found.After, 10)}.text()
	}
	return answer(w, page)
}

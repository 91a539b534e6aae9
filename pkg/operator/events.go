package operator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
)

// routeEvents lists the routes of events as subscribers see them.
func (a *API) routeEvents(r chi.Router) {
	a.route(r, http.MethodGet, "/operator/v1/events", a.tailEvents)
}

// eventQuestion is what a worker is asked.
type eventQuestion struct {
	MchID  string    `json:"mchid,omitempty"`
	Fact   string    `json:"fact,omitempty"`
	Latest bool      `json:"latest,omitempty"`
	After  uint64    `json:"after,omitempty"`
	Stream time.Time `json:"stream,omitzero"`
	Since  time.Time `json:"since,omitzero"`
	Limit  int       `json:"limit"`
}

// eventPage is a worker's answer, whose position becomes a cursor.
type eventPage struct {
	Events []json.RawMessage `json:"events"`
	Stream struct {
		MadeAt time.Time `json:"made_at"`
		First  uint64    `json:"first_sequence"`
		Last   uint64    `json:"last_sequence"`
	} `json:"stream"`
	Restarted  bool            `json:"restarted"`
	Gaps       json.RawMessage `json:"gaps"`
	More       bool            `json:"more"`
	NextCursor string          `json:"next_cursor"`
}

// tailEvents shows published events. Its cursor holds the position and which
// stream that is a position in, so that a stream that was made anew is noticed.
func (a *API) tailEvents(w http.ResponseWriter, c *call) error {
	q := c.query
	asked := eventQuestion{MchID: string(q.mchid()), Fact: string(word(q, "fact", pay.Facts()...)), Limit: q.limit()}
	asked.begin(q)
	if err := q.done(); err != nil {
		return err
	}
	page, err := askFor[struct {
		eventPage

		Next uint64 `json:"next"`
	}](c.Context(), a, subjectEvents, asked, askAgain)
	if err != nil {
		return err
	}
	page.NextCursor = cursor{Of: "events", At: page.Stream.MadeAt, ID: strconv.FormatUint(page.Next, 10)}.text()
	return answer(w, page.eventPage)
}

// begin reads where the page begins: at one place only, or else it is the last one.
func (e *eventQuestion) begin(q *query) {
	begin := 0
	if text := q.text("after"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			q.bad("after", "is %s; it must be a sequence, a number from 0", shown(text))
		}
		e.After, begin = n, begin+1
	}
	if e.Since = q.since(); !e.Since.IsZero() {
		begin++
	}
	known := q.cursor("events", func(c cursor) bool { _, err := strconv.ParseUint(c.ID, 10, 63); return err == nil })
	if !known.At.IsZero() {
		n, _ := strconv.ParseUint(known.ID, 10, 63) // it is one
		e.After, e.Stream, begin = n, known.At, begin+1
	}
	if begin > 1 {
		q.bad("after", "cannot stand beside since or cursor: name one place to begin at")
	}
	e.Latest = begin == 0
}

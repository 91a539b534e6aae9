package operator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"
)

// maxCursorBytes is what schema/openapi.yaml allows; ours are about half of it.
const maxCursorBytes = 512

// cursor is the last row of a page. Each list uses the fields that its order
// goes by; Of keeps the cursor of one list from being used for another.
type cursor struct {
	Of    string    `json:"of"`
	At    time.Time `json:"at"`
	MchID string    `json:"mchid,omitempty"`
	No    string    `json:"no,omitempty"`
	ID    string    `json:"id,omitempty"`
	Kind  string    `json:"kind,omitempty"`
	Part  string    `json:"part,omitempty"` // of a list in parts: in which it is
}

func (c cursor) text() string {
	raw, err := json.Marshal(c)
	if err != nil { // a year past 9999: such a page is the last
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// cursor reads the next_cursor of a page before; the zero value is the first
// page. Clients may write their own, so whole says whether its fields can be a row.
func (q *query) cursor(of string, whole func(cursor) bool) cursor {
	s := q.text("cursor")
	if s == "" {
		return cursor{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(s) > maxCursorBytes {
		return q.badCursor()
	}
	var c cursor
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if dec.Decode(&c) != nil || c.Of != of || c.At.IsZero() || !whole(c) {
		return q.badCursor()
	}
	return c
}

func (q *query) badCursor() cursor {
	q.bad("cursor", "is no next_cursor of this list; leave it out for the first page")
	return cursor{}
}

// page cuts a list that was asked for with one row more than fits, and says
// where the next page begins.
func page[T any](rows []T, limit int, last func(T) cursor) (fits []T, next string) {
	if len(rows) <= limit {
		return rows, ""
	}
	return rows[:limit], last(rows[limit-1]).text()
}

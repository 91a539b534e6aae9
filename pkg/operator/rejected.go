package operator

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
)

func (a *API) routeRejected(r chi.Router) {
	a.route(r, http.MethodGet, "/operator/v1/rejected", a.listRejected)
	a.route(r, http.MethodGet, "/operator/v1/rejected/{sequence}", a.rejected)
	a.route(r, http.MethodGet, "/operator/v1/rejected-verdicts", a.reverifyRejected)
	a.route(r, http.MethodPost, "/operator/v1/rejected-publications", a.publishRejected)
}

// sampleQuestion asks for one sample, or for a page of them.
type sampleQuestion struct {
	Sequence uint64    `json:"sequence,omitempty"`
	MchID    pay.MchID `json:"mchid,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Before   uint64    `json:"before,omitempty"`
	Limit    int       `json:"limit"`
}

// samplePage is a page of samples, as a worker tells of them.
type samplePage struct {
	Samples    json.RawMessage `json:"samples"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

func (a *API) listRejected(w http.ResponseWriter, c *call) error {
	q := c.query
	after := q.cursor("rejected", func(c cursor) bool { return sequenceIn(c.ID) > 0 })
	asked := sampleQuestion{MchID: q.mchid(), Reason: word(q, "reason", rejectedFor()...), Since: q.since(), Before: sequenceIn(after.ID), Limit: q.limit()}
	if err := q.done(); err != nil {
		return err
	}
	page, err := askFor[struct {
		samplePage

		Before uint64 `json:"before"`
	}](c.Context(), a, subjectRejected, asked, askAgain)
	if err != nil {
		return err
	}
	if page.Before > 0 {
		page.NextCursor = cursor{Of: "rejected", At: a.Now().UTC(), ID: strconv.FormatUint(page.Before, 10)}.text()
	}
	return answer(w, page.samplePage)
}

// rejectedFor are the reasons for which the edge takes samples.
func rejectedFor() []string {
	return []string{"bad_signature", "timestamp", "unknown_serial", "malformed"}
}

func (a *API) rejected(w http.ResponseWriter, c *call) error {
	text := pathValue(c.Request, "sequence")
	sequence := sequenceIn(text)
	if sequence == 0 {
		c.query.bad("sequence", "is %s; it must be a number from 1", shown(text))
	}
	if err := c.query.done(); err != nil {
		return err
	}
	note(w, slog.Uint64("sequence", sequence))
	return a.pass(w, c, subjectRejected, sampleQuestion{Sequence: sequence}, askAgain)
}

// sampleAct names samples, and, where they are to be published, who wants it and why.
type sampleAct struct {
	Sequences []uint64 `json:"sequences"`
	Actor     string   `json:"actor,omitempty"`
	Why       string   `json:"why,omitempty"`
}

func (a *API) reverifyRejected(w http.ResponseWriter, c *call) error {
	asked := sampleAct{Sequences: c.query.sequences("sequence")}
	if err := c.query.done(); err != nil {
		return err
	}
	return a.pass(w, c, subjectReverify, asked, "Send the same request again, for fewer samples: nothing was changed.")
}

func (a *API) publishRejected(w http.ResponseWriter, c *call) error {
	if err := c.query.done(); err != nil {
		return err
	}
	f, err := readFields(w, c.Request)
	if err != nil {
		return err
	}
	act := sampleAct{Sequences: f.sequences(), Actor: c.actor(), Why: f.reason()}
	if err := f.done(); err != nil {
		return err
	}
	note(w, slog.Any("sequences", act.Sequences))
	return a.pass(w, c, subjectPublish, act, "Look at `fenflow audit ls` for what was published. Send the same request again: what is published twice is settled once.")
}

// sequenceIn is the number that a text writes, or 0.
func sequenceIn(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0
	}
	return n
}

// sequences are the values of a parameter that may be repeated.
func (q *query) sequences(name string) []uint64 {
	q.asked[name] = true
	given := q.values[name]
	if len(given) < 1 || len(given) > maxIDs {
		q.bad(name, "is given %d times; it must be given 1 to %d times", len(given), maxIDs)
		return nil
	}
	all := make([]uint64, 0, len(given))
	for _, text := range given {
		n := sequenceIn(text)
		if n == 0 {
			q.bad(name, "is %s; it must be a number from 1", shown(text))
			return nil
		}
		all = append(all, n)
	}
	return all
}

func (f *fields) sequences() []uint64 {
	var all []uint64
	if _, given := f.given["sequences"]; !given {
		f.bad("sequences", "is missing; name the samples")
	}
	if !f.take("sequences", "a list of numbers from 1", &all) {
		return nil
	}
	if len(all) < 1 || len(all) > maxIDs {
		f.bad("sequences", "has %d numbers; it must have 1 to %d", len(all), maxIDs)
	}
	for _, n := range all {
		if n == 0 {
			f.bad("sequences", "holds 0; samples are numbered from 1")
			break
		}
	}
	return all
}

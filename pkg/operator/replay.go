package operator

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

type replayDocument struct {
	DeliveryIDs []string `json:"delivery_ids"`
}

func (a *API) replayLetter(w http.ResponseWriter, c *call) error {
	id, err := c.deliveryID(w)
	if err != nil {
		return err
	}
	reason, err := readReason(w, c.Request)
	if err != nil {
		return err
	}
	replayed, err := a.Books.ReplayLetters(c.Context(), pay.LetterChoice{IDs: []pay.DeliveryID{id}}, c.actor(), reason)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	note(w, slog.Bool("replayed", len(replayed) > 0))
	l, found, err := a.Books.Letter(c.Context(), id)
	switch {
	case err != nil:
		return err //nolint:wrapcheck // the step is the route, which the log line names
	case !found:
		return problem.New(problem.UnknownLetter, "")
	case len(replayed) > 0: // whatever became of it since
		return answer(w, letterOf(l))
	case l.State == pay.LetterResolved || l.State == pay.LetterDiscarded:
		return problem.Newf(problem.LetterSettled, "its state is %s", l.State)
	case !l.Delivery.Kind.Notification():
		return problem.Newf(problem.NotReplayable, "its kind is %s", shown(string(l.Delivery.Kind)))
	}
	return answer(w, letterOf(l)) // it is tried already
}

func (a *API) replayLetters(w http.ResponseWriter, c *call) error {
	if err := c.query.done(); err != nil {
		return err
	}
	f, err := readFields(w, c.Request)
	if err != nil {
		return err
	}
	which, reason := f.choice(), f.reason()
	if err := f.done(); err != nil {
		return err
	}
	ids, err := a.Books.ReplayLetters(c.Context(), which, c.actor(), reason)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	note(w, slog.Int("replayed", len(ids)))
	return answer(w, replayDocument{each(ids, func(id pay.DeliveryID) string { return string(id) })})
}

// choice is which letters are replayed: those that are named, or those that a
// filter leaves. A filter beside names would be ignored, so it is refused.
func (f *fields) choice() pay.LetterChoice {
	if _, named := f.given["delivery_ids"]; named {
		return pay.LetterChoice{IDs: f.deliveryIDs()}
	}
	f.asked["delivery_ids"] = true
	return pay.LetterChoice{MchID: f.mchid(), Reason: f.letterReason(), Since: f.since(), Limit: f.limit()}
}

func (f *fields) deliveryIDs() []pay.DeliveryID { return f.deliveryIDsUpTo(maxIDs) }

func (f *fields) deliveryIDsUpTo(most int) []pay.DeliveryID {
	if _, given := f.given["delivery_ids"]; !given {
		f.bad("delivery_ids", "is missing; name the messages")
	}
	var texts []string
	if !f.take("delivery_ids", "a list of UUIDs", &texts) {
		return nil
	}
	if len(texts) < 1 || len(texts) > most {
		f.bad("delivery_ids", "has %d ids; it must have 1 to %d", len(texts), most)
		return nil
	}
	ids := make([]pay.DeliveryID, 0, len(texts))
	for _, text := range texts {
		id, ok := parseDeliveryID(text)
		if !ok {
			f.bad("delivery_ids", "holds %s; it must hold UUIDs", shown(text))
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}

func (f *fields) mchid() pay.MchID {
	var text string
	if !f.take("mchid", "a string", &text) {
		return ""
	}
	id, err := pay.ParseMchID(text)
	if err != nil {
		f.bad("mchid", "is %s; it must be 8 to 32 digits", shown(text))
	}
	return id
}

func (f *fields) letterReason() pay.LetterReason {
	var reason pay.LetterReason
	if f.take("letter_reason", "a string", &reason) && !slices.Contains(pay.LetterReasons(), reason) {
		f.bad("letter_reason", "is %s; it must be one of %s", shown(string(reason)), joined(pay.LetterReasons()))
	}
	return reason
}

func (f *fields) since() time.Time {
	var at time.Time
	const kind = "a time as in RFC 3339, such as 2026-12-31T23:59:59Z"
	if f.take("since", kind, &at) && !writable(at) {
		f.bad("since", "must be %s", kind)
	}
	return at.UTC()
}

func (f *fields) limit() int {
	var n int
	if _, given := f.given["limit"]; !given {
		f.bad("limit", "is missing; say how many letters are replayed at most, 1 to %d", maxPerPage)
	}
	if f.take("limit", "a number", &n) && (n < 1 || n > maxPerPage) {
		f.bad("limit", "is %d; it must be a number from 1 to %d", n, maxPerPage)
	}
	return n
}

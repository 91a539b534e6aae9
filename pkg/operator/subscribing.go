package operator

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

type startQuestion struct {
	Do    string `json:"do"`
	Name  string `json:"name"`
	MchID string `json:"mchid"`
	From  string `json:"from"`
}

type startAnswer struct {
	StreamAt time.Time `json:"stream_at"`
	After    uint64    `json:"after"`
	StoredAt time.Time `json:"stored_at"`
	From     time.Time `json:"from"`
}

type keepQuestion struct {
	Do string `json:"do"`
	ID string `json:"subscriber_id"`
}

type keepAnswer struct {
	There bool `json:"there"`
}

// addSubscriber adds a subscriber in two steps: its row says where it begins and who
// wanted it; then a worker makes its consumer, now or, where it is away, as soon as
// there is one. Nothing that happens between the two is lost to it.
func (a *API) addSubscriber(w http.ResponseWriter, c *call) error {
	if err := c.query.done(); err != nil {
		return err
	}
	f, err := readFields(w, c.Request)
	if err != nil {
		return err
	}
	wish, from := pay.Subscriber{Name: f.subscriberName(), MchID: f.neededMchID(), NKey: f.nkey(), Facts: f.facts(), CreatedBy: c.actor()}, f.from(a.Now())
	reason := f.reason()
	if err := f.done(); err != nil {
		return err
	}
	note(w, slog.String("subscriber", string(wish.Name)), slog.String("mchid", string(wish.MchID)))
	start, err := askFor[startAnswer](c.Context(), a, subjectSubscriber, startQuestion{"start", string(wish.Name), string(wish.MchID), from}, "Nothing was added. Check that a worker runs and reaches NATS, then send the request again.")
	if err != nil {
		return err
	}
	wish.StreamAt, wish.StartsAfter, wish.From = start.StreamAt, start.After, start.From
	s, outcome, err := a.Books.AddSubscriber(c.Context(), wish, start.StoredAt, reason)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	note(w, slog.String("outcome", string(outcome)))
	switch outcome {
	case pay.SubscriberNameTaken:
		return taken(s)
	case pay.SubscriberKeyTaken:
		return problem.Newf(problem.NKeyTaken, "%s has it", s.Name)
	case pay.SubscriberAdded, pay.SubscriberSame:
	}
	if _, err := askFor[keepAnswer](c.Context(), a, subjectSubscriber, keepQuestion{"keep", s.ID}, ""); err != nil {
		note(w, slog.String("consumer", err.Error())) // a worker makes it as soon as it can
	}
	documents, err := a.described(c.Context(), w, []pay.Subscriber{s}, false)
	if err != nil {
		return err
	}
	return answer(w, withAccount(documents[0], s))
}

func taken(s pay.Subscriber) error {
	if !s.RemovedAt.IsZero() {
		return problem.Newf(problem.SubscriberTaken, "%s was removed, and its consumer is not deleted yet", s.Name)
	}
	return problem.Newf(problem.SubscriberTaken, "%s is there, for merchant %s and with another key or other facts", s.Name, s.MchID)
}

type removedDocument struct {
	Name            string  `json:"name"`
	MchID           string  `json:"mchid"`
	Unacknowledged  *uint64 `json:"unacknowledged,omitempty"`
	ConsumerDeleted bool    `json:"consumer_deleted"`
}

func (a *API) removeSubscriber(w http.ResponseWriter, c *call) error {
	s, err := a.namedSubscriber(w, c)
	if err != nil {
		return err
	}
	if err := c.query.done(); err != nil {
		return err
	}
	f, err := readFields(w, c.Request)
	if err != nil {
		return err
	}
	var anyway bool
	f.take("lose_unacknowledged", "true or false", &anyway)
	reason := f.reason()
	if err := f.done(); err != nil {
		return err
	}
	left := a.unacknowledged(w, c, s)
	switch {
	case anyway:
	case left == nil:
		return problem.Newf(problem.SubscriberBehind, "how much %s has not acknowledged cannot be said now", s.Name)
	case *left > 0:
		return problem.Newf(problem.SubscriberBehind, "%s has not acknowledged %d events", s.Name, *left)
	}
	removed, err := a.Books.RemoveSubscriber(c.Context(), s.ID, c.actor(), reason, left)
	switch {
	case err != nil:
		return err //nolint:wrapcheck // the step is the route, which the log line names
	case !removed:
		return problem.Newf(problem.UnknownSubscriber, "%s was removed meanwhile", s.Name)
	}
	_, err = askFor[keepAnswer](c.Context(), a, subjectSubscriber, keepQuestion{"keep", s.ID}, "")
	if err != nil {
		note(w, slog.String("consumer", err.Error())) // a worker deletes it as soon as it can
	}
	return answer(w, removedDocument{string(s.Name), string(s.MchID), left, err == nil})
}

// unacknowledged counts what a subscriber leaves; nil: nobody can say. A consumer that
// is missing is made again before anybody could count.
func (a *API) unacknowledged(w http.ResponseWriter, c *call, s pay.Subscriber) *uint64 {
	looked, err := a.look(c.Context(), []pay.Subscriber{s}, nil, false)
	switch {
	case err != nil:
		note(w, slog.String("consumer", err.Error()))
		return nil
	case !looked.Consumers[0].There:
		return nil
	}
	return new(looked.Consumers[0].Pending + looked.Consumers[0].AckPending)
}

func (f *fields) subscriberName() pay.SubscriberName {
	var text string
	if _, given := f.given["name"]; !given {
		f.bad("name", "is missing")
	}
	if !f.take("name", "a string", &text) {
		return ""
	}
	name, err := pay.ParseSubscriberName(text)
	if err != nil {
		f.bad("name", "is %s; it %s", shown(text), err)
	}
	return name
}

func (f *fields) neededMchID() pay.MchID {
	if _, given := f.given["mchid"]; !given {
		f.bad("mchid", "is missing; say whose events it is told of")
	}
	return f.mchid()
}

func (f *fields) nkey() string {
	var key string
	if _, given := f.given["nkey"]; !given {
		f.bad("nkey", "is missing; it is the public half of the business system's key, U…")
	}
	if !f.take("nkey", "a string", &key) {
		return ""
	}
	switch {
	case strings.HasPrefix(key, "S"): // not repeated: it may be a seed
		f.bad("nkey", "looks like a seed, which stays with the business system; give its public half, U…")
	case !nkeys.IsValidPublicUserKey(key):
		f.bad("nkey", "is %s; it must be the public key of a NATS user, U and 55 characters", shown(key))
	}
	return key
}

func (f *fields) facts() []pay.Fact {
	var texts []string
	if !f.take("facts", "a list of facts", &texts) {
		return nil
	}
	if len(texts) == 0 {
		f.bad("facts", "is empty; leave it out for all facts")
	}
	var facts []pay.Fact
	for _, text := range texts {
		if !slices.Contains(pay.Facts(), pay.Fact(text)) {
			f.bad("facts", "holds %s; it may hold %s", shown(text), joined(pay.Facts()))
			return nil
		}
		facts = append(facts, pay.Fact(text))
	}
	return facts
}

// from is all, now, or an instant that has been.
func (f *fields) from(now time.Time) string {
	var text string
	if !f.take("from", "a string", &text) {
		return "all"
	}
	if text == "all" || text == "now" {
		return text
	}
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		f.bad("from", "is %s; it must be all, now, or a time as in RFC 3339, such as 2026-12-31T23:59:59Z", shown(text))
	case at.After(now):
		f.bad("from", "is %s, which is to come; say now", shown(text))
	case at.Unix() < 0: // the broker is told of it in JSON, which has no year before 0
		f.bad("from", "is %s, which is before there was any event; say all", shown(text))
	}
	return at.UTC().Format(time.RFC3339Nano)
}

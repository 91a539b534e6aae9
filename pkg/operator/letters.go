package operator

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Letters lists, discards and replays what could not be settled.
type Letters interface {
	ListLetters(ctx context.Context, f pay.LetterFilter) ([]pay.Letter, error)
	LetterGroups(ctx context.Context, mchid pay.MchID, since time.Time) ([]pay.LetterGroup, error)
	Letter(ctx context.Context, id pay.DeliveryID) (pay.Letter, bool, error)
	DiscardLetter(ctx context.Context, id pay.DeliveryID, actor, reason string) (l pay.Letter, d pay.Discard, found bool, err error)
	ReplayLetters(ctx context.Context, which pay.LetterChoice, actor, why string) ([]pay.DeliveryID, error)
}

type letterDocument struct {
	MchID          string    `json:"mchid"`
	DeliveryID     string    `json:"delivery_id"`
	Kind           string    `json:"kind"`
	Reason         string    `json:"reason"`
	Detail         string    `json:"detail"`
	State          string    `json:"state"`
	Attempts       int       `json:"attempts"`
	OutTradeNo     string    `json:"out_trade_no,omitempty"`
	TransactionID  string    `json:"transaction_id,omitempty"`
	NotificationID string    `json:"notification_id,omitempty"`
	EventType      string    `json:"event_type,omitempty"`
	KeyID          string    `json:"key_id,omitempty"`
	ReceivedAt     time.Time `json:"received_at"`
	FirstFailedAt  time.Time `json:"first_failed_at"`
	LastFailedAt   time.Time `json:"last_failed_at"`
	NextRetryAt    time.Time `json:"next_retry_at,omitzero"`
	ResolvedAt     time.Time `json:"resolved_at,omitzero"`

	Discard *discardDocument `json:"discard,omitempty"` // in the answer to one
}

type discardDocument struct {
	Actor  string    `json:"actor,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Again  bool      `json:"again"`
}

type letterWithBytes struct {
	letterDocument

	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body_base64"`
}

type letterPage struct {
	Letters    []letterDocument `json:"letters"`
	NextCursor string           `json:"next_cursor,omitempty"`
}

type letterGroups struct {
	Groups []letterGroup `json:"groups"`
}

type letterGroup struct {
	MchID    string    `json:"mchid"`
	Reason   string    `json:"reason"`
	State    string    `json:"state"`
	Count    int       `json:"count"`
	OldestAt time.Time `json:"oldest_at"`
}

func (a *API) listLetters(w http.ResponseWriter, c *call) error {
	q := c.query
	if len(q.values["delivery_id"]) > 0 {
		return a.listLettersByID(w, c)
	}
	after := q.cursor("letters", func(c cursor) bool { return uuidShape.MatchString(c.ID) })
	f := pay.LetterFilter{
		MchID:  q.mchid(),
		Reason: word(q, "reason", pay.LetterReasons()...),
		State:  word(q, "state", pay.LetterWaiting, pay.LetterOpen, pay.LetterReplaying, pay.LetterResolved, pay.LetterDiscarded),
		Since:  q.since(), AfterAt: after.At, AfterID: pay.DeliveryID(after.ID),
	}
	q.asked["delivery_id"] = true
	limit := q.limit()
	f.Limit = limit + 1 // the one more says whether there is another page
	if err := q.done(); err != nil {
		return err
	}
	letters, err := a.Books.ListLetters(c.Context(), f)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	letters, next := page(letters, limit, func(l pay.Letter) cursor {
		return cursor{Of: "letters", At: l.FirstFailAt, ID: string(l.Delivery.ID)}
	})
	return answer(w, letterPage{each(letters, letterOf), next})
}

// listLettersByID lists these letters, whatever their state: it is how a client
// follows them. Other parameters would leave some out, so they are refused.
func (a *API) listLettersByID(w http.ResponseWriter, c *call) error {
	ids := c.query.deliveryIDs("delivery_id")
	if err := c.query.done(); err != nil {
		return err
	}
	letters, err := a.Books.ListLetters(c.Context(), pay.LetterFilter{IDs: ids})
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	return answer(w, letterPage{Letters: each(letters, letterOf)})
}

func (a *API) groupLetters(w http.ResponseWriter, c *call) error {
	mchid, since := c.query.mchid(), c.query.since()
	if err := c.query.done(); err != nil {
		return err
	}
	groups, err := a.Books.LetterGroups(c.Context(), mchid, since)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	return answer(w, letterGroups{each(groups, func(g pay.LetterGroup) letterGroup {
		return letterGroup{string(g.MchID), string(g.Reason), string(g.State), g.Count, g.OldestAt}
	})})
}

func (a *API) letter(w http.ResponseWriter, c *call) error {
	id, err := c.deliveryID(w)
	if err != nil {
		return err
	}
	l, found, err := a.Books.Letter(c.Context(), id)
	switch {
	case err != nil:
		return err //nolint:wrapcheck // the step is the route, which the log line names
	case !found:
		return problem.New(problem.UnknownLetter, "")
	}
	d := letterWithBytes{letterDocument: letterOf(l), Headers: map[string]string{}, Body: append([]byte{}, l.Delivery.Body...)}
	maps.Copy(d.Headers, l.Delivery.Headers)
	return answer(w, d)
}

func (a *API) discardLetter(w http.ResponseWriter, c *call) error {
	id, err := c.deliveryID(w)
	if err != nil {
		return err
	}
	reason, err := readReason(w, c.Request)
	if err != nil {
		return err
	}
	l, d, found, err := a.Books.DiscardLetter(c.Context(), id, c.actor(), reason)
	switch {
	case err != nil:
		return err //nolint:wrapcheck // the step is the route, which the log line names
	case !found:
		return problem.New(problem.UnknownLetter, "")
	case l.State != pay.LetterDiscarded:
		return problem.Newf(problem.LetterSettled, "its state is %s", l.State)
	}
	note(w, slog.Bool("discarded", !d.Again))
	document := letterOf(l)
	document.Discard = &discardDocument{d.Actor, d.Reason, d.At, d.Again}
	return answer(w, document)
}

// uuidShape is a UUID in its usual form.
var uuidShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// deliveryID reads the one parameter of a letter's address.
func (c *call) deliveryID(w http.ResponseWriter) (pay.DeliveryID, error) {
	text := pathValue(c.Request, "delivery_id")
	id, ok := parseDeliveryID(text)
	if !ok {
		c.query.bad("delivery_id", "is %s; it must be a UUID", shown(text))
	}
	if err := c.query.done(); err != nil {
		return "", fmt.Errorf("read delivery_id: %w", err)
	}
	note(w, slog.String("delivery_id", string(id)))
	return id, nil
}

func parseDeliveryID(text string) (pay.DeliveryID, bool) {
	text = strings.ToLower(text)
	return pay.DeliveryID(text), uuidShape.MatchString(text)
}

func letterOf(l pay.Letter) letterDocument {
	d := l.Delivery
	return letterDocument{
		MchID: string(d.MchID), DeliveryID: string(d.ID), Kind: string(d.Kind), Reason: string(l.Reason), Detail: l.Detail, State: string(l.State),
		Attempts: l.Attempts, OutTradeNo: string(d.OutTradeNo), TransactionID: string(d.TransactionID), NotificationID: d.NotificationID,
		EventType: d.EventType, KeyID: d.KeyID, ReceivedAt: d.ReceivedAt, FirstFailedAt: l.FirstFailAt, LastFailedAt: l.LastFailAt,
		NextRetryAt: l.NextRetryAt, ResolvedAt: l.ResolvedAt,
	}
}

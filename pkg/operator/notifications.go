package operator

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Archive has the messages that came.
type Archive interface {
	ListDeliveries(ctx context.Context, f pay.DeliveryFilter) (pay.DeliveryPage, error)
	Delivery(ctx context.Context, id pay.DeliveryID) (d pay.Delivery, found bool, err error)
}

func (a *API) routeNotifications(r chi.Router) {
	a.route(r, http.MethodGet, "/operator/v1/notifications", a.listNotifications)
	a.route(r, http.MethodGet, "/operator/v1/notifications/{delivery_id}", a.notification)
}

type notificationDocument struct {
	MchID          string    `json:"mchid"`
	DeliveryID     string    `json:"delivery_id"`
	Kind           string    `json:"kind"`
	ReceivedAt     time.Time `json:"received_at"`
	KeyID          string    `json:"key_id,omitempty"`
	NotificationID string    `json:"notification_id,omitempty"`
	EventType      string    `json:"event_type,omitempty"`
	OutTradeNo     string    `json:"out_trade_no,omitempty"`
	TransactionID  string    `json:"transaction_id,omitempty"`
}

type notificationPage struct {
	Notifications []notificationDocument `json:"notifications"`
	NextCursor    string                 `json:"next_cursor,omitempty"`
}

type notificationWithBytes struct {
	notificationDocument

	LetterState string            `json:"letter_state,omitempty"`
	Headers     map[string]string `json:"headers"`
	Body        []byte            `json:"body_base64"`
	Moments     []momentDocument  `json:"moments"`
}

func (a *API) listNotifications(w http.ResponseWriter, c *call) error {
	q := c.query
	after := q.cursor("notifications", func(c cursor) bool { return uuidShape.MatchString(c.ID) })
	f := pay.DeliveryFilter{MchID: q.mchid(), Since: q.since(), Limit: q.limit(), AfterID: pay.DeliveryID(after.ID), AfterMchID: pay.MchID(after.MchID)}
	if kind := word(q, "kind", pay.DeliveryNotifyV3, pay.DeliveryNotifyV2Pay, pay.DeliveryNotifyV2Refund, pay.DeliveryAnswer); kind != "" {
		f.Kinds = []pay.DeliveryKind{kind}
	}
	if err := q.done(); err != nil {
		return err
	}
	found, err := a.Books.ListDeliveries(c.Context(), f)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	d := notificationPage{Notifications: each(found.Deliveries, notificationOf)}
	if found.More {
		d.NextCursor = cursor{Of: "notifications", At: found.LastAt, MchID: string(found.LastMchID), ID: string(found.LastID)}.text()
	}
	return answer(w, d)
}

func (a *API) notification(w http.ResponseWriter, c *call) error {
	id, err := c.deliveryID(w)
	if err != nil {
		return err
	}
	d, found, err := a.Books.Delivery(c.Context(), id)
	if err != nil {
		return fmt.Errorf("read delivery: %w", err)
	}
	letter, lettered, err := a.Books.Letter(c.Context(), id)
	switch {
	case err != nil:
		return fmt.Errorf("read letter: %w", err)
	case !found && lettered:
		e := problem.New(problem.UnknownDelivery, "its day has left the archive; its dead letter is kept")
		e.NextStep = fmt.Sprintf("Run `fenflow dead-letter show %s`.", id)
		return e
	case !found:
		return problem.New(problem.UnknownDelivery, "")
	}
	moments, err := a.momentsOf(c.Context(), d)
	if err != nil {
		return err
	}
	shown := notificationWithBytes{notificationDocument: notificationOf(d), Headers: map[string]string{}, Body: append([]byte{}, d.Body...), Moments: moments}
	maps.Copy(shown.Headers, d.Headers)
	if lettered {
		shown.LetterState = string(letter.State)
	}
	return answer(w, shown)
}

// momentsOf is what a delivery did to its order: the moments that name it, and
// the events of the same sequence.
func (a *API) momentsOf(ctx context.Context, d pay.Delivery) ([]momentDocument, error) {
	if d.OutTradeNo == "" {
		return []momentDocument{}, nil
	}
	timeline, err := a.Books.Timeline(ctx, d.MchID, d.OutTradeNo)
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	moved := map[int64]bool{}
	for _, m := range timeline {
		if m.Kind == pay.MomentHistory && m.DeliveryID == d.ID {
			moved[m.Sequence] = true
		}
	}
	did := []pay.Moment{}
	for _, m := range timeline {
		if m.DeliveryID == d.ID || m.Kind == pay.MomentEvent && moved[m.Sequence] {
			did = append(did, m)
		}
	}
	return each(did, momentOf), nil
}

func notificationOf(d pay.Delivery) notificationDocument {
	return notificationDocument{
		MchID: string(d.MchID), DeliveryID: string(d.ID), Kind: string(d.Kind), ReceivedAt: d.ReceivedAt, KeyID: d.KeyID,
		NotificationID: d.NotificationID, EventType: d.EventType, OutTradeNo: string(d.OutTradeNo), TransactionID: string(d.TransactionID),
	}
}

package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Replayables lists what WeChat Pay sent and can be settled again.
type Replayables interface {
	ListReplayable(ctx context.Context, f pay.ArchiveFilter) ([]pay.Delivery, error)
	CountReplayable(ctx context.Context, f pay.ArchiveFilter) (int, error)
}

type replayableDocument struct {
	DeliveryID string    `json:"delivery_id"`
	MchID      string    `json:"mchid"`
	Kind       string    `json:"kind"`
	ReceivedAt time.Time `json:"received_at"`
	EventType  string    `json:"event_type,omitempty"`
	OutTradeNo string    `json:"out_trade_no,omitempty"`
}

type replayablePage struct {
	Notifications []replayableDocument `json:"notifications"`
	Count         *int                 `json:"count,omitempty"`
	NextCursor    string               `json:"next_cursor,omitempty"`
}

func (a *API) listReplayable(w http.ResponseWriter, c *call) error {
	q := c.query
	after := q.cursor("replayable", func(c cursor) bool { return uuidShape.MatchString(c.ID) })
	f := pay.ArchiveFilter{MchID: q.mchid(), Since: q.since(), Until: q.instant("until"), AfterID: pay.DeliveryID(after.ID)}
	limit := q.limit()
	f.Limit = limit + 1 // the one more says whether there is another page
	if err := q.done(); err != nil {
		return err
	}
	notifications, err := a.Books.ListReplayable(c.Context(), f)
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	var d replayablePage
	if after.ID == "" {
		count, err := a.Books.CountReplayable(c.Context(), f)
		if err != nil {
			return err //nolint:wrapcheck // the step is the route, which the log line names
		}
		d.Count = &count
	}
	notifications, d.NextCursor = page(notifications, limit, func(n pay.Delivery) cursor {
		return cursor{Of: "replayable", At: n.ReceivedAt, ID: string(n.ID)}
	})
	d.Notifications = each(notifications, func(n pay.Delivery) replayableDocument {
		return replayableDocument{string(n.ID), string(n.MchID), string(n.Kind), n.ReceivedAt, n.EventType, string(n.OutTradeNo)}
	})
	return answer(w, d)
}

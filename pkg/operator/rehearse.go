package operator

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	// maxChunk is how many messages a worker decides in one transaction.
	maxChunk = 50
	// maxChunkBytes holds the ids and orders of a chunk, and its reason.
	maxChunkBytes = 32 << 10
	// maxOutTradeNo is beyond WeChat Pay's 32: a message may name anything.
	maxOutTradeNo = 256
	maxExpected   = 64 // bytes of an expected order's mchid
)

func (a *API) routeReplays(r chi.Router) {
	a.route(r, http.MethodPost, "/operator/v1/rehearsals", a.rehearse)
	a.route(r, http.MethodPost, "/operator/v1/rehearsed-replays", a.replayRehearsed)
	a.route(r, http.MethodGet, "/operator/v1/replayable-notifications", a.listReplayable)
	a.route(r, http.MethodPost, "/operator/v1/notification-replays", a.replayNotifications)
	a.route(r, http.MethodGet, "/operator/v1/replay-lane", a.replayLane)
}

// rehearse changes nothing, and so tells the audit nothing.
func (a *API) rehearse(w http.ResponseWriter, c *call) error {
	f, err := c.chunk(w)
	if err != nil {
		return err
	}
	ids := f.deliveryIDsUpTo(maxChunk)
	if err := f.done(); err != nil {
		return err
	}
	note(w, slog.Int("deliveries", len(ids)))
	return a.pass(w, c, subjectRehearse, map[string]any{"delivery_ids": ids},
		"Send the same request again, with fewer messages where it happens again: a dry run changes nothing.")
}

func (a *API) replayRehearsed(w http.ResponseWriter, c *call) error {
	f, err := c.chunk(w)
	if err != nil {
		return err
	}
	ids, orders, reason := f.deliveryIDsUpTo(maxChunk), f.orders(), f.reason()
	if err := f.done(); err != nil {
		return err
	}
	note(w, slog.Int("deliveries", len(ids)), slog.Int("orders", len(orders)))
	return a.pass(w, c, subjectReplay, map[string]any{"delivery_ids": ids, "orders": orders, "actor": c.actor(), "reason": reason},
		"The chunk was settled as a whole or not at all. Send the same request again: if it was, it is refused because its orders have moved.")
}

func (a *API) replayNotifications(w http.ResponseWriter, c *call) error {
	f, err := c.chunk(w)
	if err != nil {
		return err
	}
	ids, reason := f.deliveryIDs(), f.reason()
	if err := f.done(); err != nil {
		return err
	}
	note(w, slog.Int("deliveries", len(ids)))
	return a.pass(w, c, subjectRepublish, map[string]any{"delivery_ids": ids, "actor": c.actor(), "reason": reason},
		"They may be on the replay lane already. Send the same request again: what is settled is never settled twice.")
}

func (a *API) replayLane(w http.ResponseWriter, c *call) error {
	if err := c.query.done(); err != nil {
		return err
	}
	return a.pass(w, c, subjectLane, struct{}{}, askAgain)
}

// chunk reads the body of an act that names many messages.
func (c *call) chunk(w http.ResponseWriter) (*fields, error) {
	if err := c.query.done(); err != nil {
		return nil, err
	}
	return readFieldsWithin(w, c.Request, maxChunkBytes)
}

// expectedOrder is an order as a dry run saw it.
type expectedOrder struct {
	MchID      pay.MchID      `json:"mchid"`
	OutTradeNo pay.OutTradeNo `json:"out_trade_no"`
	Sequence   *int64         `json:"sequence"`
}

func (f *fields) orders() []expectedOrder {
	if _, given := f.given["orders"]; !given {
		f.bad("orders", "is missing; give the orders of the dry run with their sequences")
	}
	var given []json.RawMessage
	if !f.take("orders", "a list of orders", &given) {
		return nil
	}
	if len(given) > maxChunk {
		f.bad("orders", "has %d orders; it may have %d", len(given), maxChunk)
		return nil
	}
	orders := make([]expectedOrder, len(given))
	for i, raw := range given {
		o := &orders[i]
		if err := json.Unmarshal(raw, o); err != nil || o.MchID == "" || len(o.MchID) > maxExpected || o.OutTradeNo == "" || len(o.OutTradeNo) > maxOutTradeNo || o.Sequence == nil || *o.Sequence < 0 {
			f.bad("orders", "holds %s; each must have mchid, out_trade_no and sequence", shown(string(raw)))
			return nil
		}
	}
	return orders
}

package cli

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/fenflow/fenflow/pkg/operatorapi"
)

// rehearsal is what several chunks would change, or did: the API's own document of
// one, and of several one with the rows of all.
type rehearsal struct {
	Deliveries []json.RawMessage           `json:"deliveries"`
	Totals     operatorapi.RehearsalTotals `json:"totals"`

	rows []operatorapi.Rehearsed
}

func newRehearsal() *rehearsal { return &rehearsal{Deliveries: []json.RawMessage{}} }

// add takes the document of one chunk.
func (r *rehearsal) add(raw json.RawMessage) error {
	one, _, err := document[rehearsal](raw, nil)
	if err != nil {
		return err
	}
	rows, _, err := document[operatorapi.Rehearsal](raw, nil)
	if err != nil {
		return err
	}
	r.Deliveries, r.rows = append(r.Deliveries, one.Deliveries...), append(r.rows, rows.Deliveries...)
	t, more := &r.Totals, rows.Totals
	for sum, n := range map[*int]int{
		&t.Deliveries: more.Deliveries, &t.Applied: more.Applied, &t.Unchanged: more.Unchanged, &t.Lettered: more.Lettered, &t.Archived: more.Archived,
		&t.Busy: more.Busy, &t.Refused: more.Refused, &t.History: more.History, &t.Payments: more.Payments, &t.Anomalies: more.Anomalies,
		&t.Refunds: more.Refunds, &t.Events: more.Events, &t.Resolved: more.Resolved,
	} {
		*sum += n
	}
	return nil
}

// rehearse asks what replaying messages would change, chunk by chunk. Messages about
// one order belong into one chunk, since each is decided after the ones before it.
// Which order a message is about may be known only once it was read: where an order
// turns up in several chunks, the messages are put together and rehearsed again.
func (c *commandLine) rehearse(ctx context.Context, api remote, ids []operatorapi.DeliveryID) (*rehearsal, error) {
	first, err := c.rehearseIn(ctx, api, slices.Collect(slices.Chunk(ids, replayChunk)))
	if err != nil || !spread(slices.Collect(slices.Chunk(first.rows, replayChunk))) {
		return first, err
	}
	var again [][]operatorapi.DeliveryID
	for _, portion := range portions(first.rows) {
		some := make([]operatorapi.DeliveryID, len(portion))
		for i, row := range portion {
			if some[i], err = parseDeliveryID(row.DeliveryID); err != nil {
				return nil, err
			}
		}
		again = append(again, some)
	}
	return c.rehearseIn(ctx, api, again)
}

func (c *commandLine) rehearseIn(ctx context.Context, api remote, chunks [][]operatorapi.DeliveryID) (*rehearsal, error) {
	all, total := newRehearsal(), 0
	for _, chunk := range chunks {
		total += len(chunk)
	}
	shown := c.progress("rehearsing", total)
	defer shown.end()
	for _, chunk := range chunks {
		raw, err := api.ask(ctx)(operatorapi.NewRehearseRequest(api.base(), operatorapi.RehearseJSONRequestBody{DeliveryIds: chunk}))
		if err == nil {
			err = all.add(raw)
		}
		if err != nil {
			return nil, err // nothing was done, and half a rehearsal is none
		}
		shown.chunk(all)
	}
	return all, nil
}

// The progress of a rehearsal.
func (r *rehearsal) begun() int     { return len(r.rows) }
func (r *rehearsal) atEnd() int     { return len(r.rows) }
func (r *rehearsal) states() string { return r.outcomes() }

// orderOf names the order that a message is about; empty: none that could be read.
func orderOf(row operatorapi.Rehearsed) string {
	if row.Order == nil {
		return ""
	}
	return row.Order.Mchid + "/" + row.Order.OutTradeNo
}

// spread says whether some order turns up in several chunks.
func spread(chunks [][]operatorapi.Rehearsed) bool {
	in := map[string]int{}
	for n, chunk := range chunks {
		for _, row := range chunk {
			order := orderOf(row)
			if at, seen := in[order]; seen && at != n && order != "" {
				return true
			}
			in[order] = n
		}
	}
	return false
}

// portions are chunks between which no order is divided: as the messages stand, if
// that will do, else with those of an order together, where its first one stands.
// Only an order with more messages than fit in a chunk is divided.
func portions(rows []operatorapi.Rehearsed) [][]operatorapi.Rehearsed {
	plain := slices.Collect(slices.Chunk(rows, replayChunk))
	if !spread(plain) {
		return plain
	}
	var groups [][]operatorapi.Rehearsed
	at := map[string]int{}
	for _, row := range rows {
		order := orderOf(row)
		n, seen := at[order]
		if !seen || order == "" {
			n = len(groups)
			at[order], groups = n, append(groups, nil)
		}
		groups[n] = append(groups[n], row)
	}
	var all [][]operatorapi.Rehearsed
	for _, group := range groups {
		for part := range slices.Chunk(group, replayChunk) {
			last := len(all) - 1
			if last < 0 || len(all[last])+len(part) > replayChunk {
				all = append(all, nil)
				last++
			}
			all[last] = append(all[last], part...)
		}
	}
	return all
}

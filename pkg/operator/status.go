package operator

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Overviews tells what waits, and for how long.
type Overviews interface {
	Overview(ctx context.Context) (pay.Overview, error)
}

type statusDocument struct {
	At             time.Time          `json:"at"`
	Merchants      []merchantDocument `json:"merchants"`
	Orders         queueDocument      `json:"orders"`
	Refunds        queueDocument      `json:"refunds"`
	Letters        queueDocument      `json:"letters"`
	LettersWaiting queueDocument      `json:"letters_waiting"`
	Outbox         queueDocument      `json:"outbox"`
	AnomaliesOpen  int                `json:"anomalies_open"`
	Sweeps         []sweepDocument    `json:"sweeps"`
	Keys           []keyStatus        `json:"keys,omitempty"`
	KeysUnknown    string             `json:"keys_unknown,omitempty"`
	Roles          []roleDocument     `json:"roles"`
}

type merchantDocument struct {
	MchID string `json:"mchid"`
	Gear  string `json:"gear"`
}

type queueDocument struct {
	Count    int       `json:"count"`
	OldestAt time.Time `json:"oldest_at,omitzero"`
}

type sweepDocument struct {
	Kind    string    `json:"kind"`
	BegunAt time.Time `json:"begun_at"`
}

// gearUnknown is the gear of a merchant that nobody has judged yet.
const gearUnknown = "unknown"

func (a *API) status(w http.ResponseWriter, c *call) error {
	if err := c.query.done(); err != nil {
		return err
	}
	o, err := a.Books.Overview(c.Context())
	if err != nil {
		return err //nolint:wrapcheck // the step is the route, which the log line names
	}
	d := statusDocument{
		At: o.At, Merchants: []merchantDocument{}, Orders: queueOf(o.Orders), Refunds: queueOf(o.Refunds), Letters: queueOf(o.Letters),
		LettersWaiting: queueOf(o.LettersWaiting), Outbox: queueOf(o.Outbox), AnomaliesOpen: o.AnomaliesOpen, Sweeps: []sweepDocument{},
	}
	if d.Roles, err = a.roles(c.Context()); err != nil {
		return err
	}
	merchants := append(slices.Collect(maps.Keys(o.Gears)), a.Merchants...)
	slices.Sort(merchants)
	for _, id := range slices.Compact(merchants) {
		gear := gearUnknown
		if judged, there := o.Gears[id]; there {
			gear = string(judged)
		}
		d.Merchants = append(d.Merchants, merchantDocument{string(id), gear})
	}
	for _, kind := range slices.Sorted(maps.Keys(o.Sweeps)) {
		d.Sweeps = append(d.Sweeps, sweepDocument{kind, o.Sweeps[kind]})
	}
	d.Keys, d.KeysUnknown = a.keyStatuses(c.Context())
	return answer(w, d)
}

func queueOf(q pay.QueueAge) queueDocument {
	return queueDocument{Count: q.Count, OldestAt: q.OldestAt}
}

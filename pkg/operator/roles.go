package operator

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Presences lists who is connected to the books.
type Presences interface {
	Presences(ctx context.Context) ([]pay.Presence, error)
}

// The states of a role.
const (
	roleAlive   = "alive"
	roleMissing = "missing"
	roleUnknown = "unknown"
)

type roleDocument struct {
	Role      string    `json:"role"`
	State     string    `json:"state"`
	Processes int       `json:"processes"`
	Since     time.Time `json:"since,omitzero"`
	Versions  []string  `json:"versions"`
	Detail    string    `json:"detail,omitempty"`
	NextStep  string    `json:"next_step,omitempty"`
}

// roleParts are the roles, and what connections of each are called. Only the
// edge is not connected to PostgreSQL.
func roleParts() []struct {
	role, missing string
	parts         []string
	edge          bool
} {
	return []struct {
		role, missing string
		parts         []string
		edge          bool
	}{
		{"ingest", "Start one (`ingest --config FILE`): WeChat Pay reaches nobody, and repeats for 24 hours.", []string{"notify", "api", "front"}, true},
		{"worker", "Start one (`worker --config FILE`): nothing is settled meanwhile; what arrived waits in NATS.", []string{"worker", "worker-commands"}, false},
		{"reconciler", "Start one (`reconciler --config FILE`): no refund is sent and no order is asked about meanwhile.", []string{"reconciler"}, false},
		{"console", "Start one (`fenflow console`).", []string{"console"}, false},
	}
}

// roles says which roles are alive: those that hold a connection to PostgreSQL
// or to NATS.
func (a *API) roles(ctx context.Context) ([]roleDocument, error) {
	present, err := a.Books.Presences(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // the books name the step
	}
	connected, hidden := a.connections(ctx)
	present = append(present, connected...)
	var all []roleDocument
	for _, r := range roleParts() {
		d := presenceOf(present, r.parts)
		d.Role = r.role
		switch {
		case d.Processes > 0:
			d.State = roleAlive
		case r.edge && hidden != "":
			d.State, d.Detail, d.NextStep = roleUnknown, hidden, "Ask its admin port: `fenflow health http://HOST:9090/readyz`."
		default:
			d.State, d.NextStep = roleMissing, r.missing
		}
		all = append(all, d)
	}
	return all, nil
}

// presenceOf counts the processes that hold connections of these names. The
// version in a name may be cut short: the longest of a process is its version.
func presenceOf(present []pay.Presence, parts []string) roleDocument {
	versions := map[string]string{} // by process
	d := roleDocument{Versions: []string{}}
	for _, p := range present {
		part, process, version, ok := pay.ParseConnectionName(p.Name)
		if !ok || !slices.Contains(parts, part) {
			continue
		}
		if len(version) >= len(versions[process]) {
			versions[process] = version
		}
		if d.Since.IsZero() || !p.Since.IsZero() && p.Since.Before(d.Since) {
			d.Since = p.Since
		}
	}
	d.Processes = len(versions)
	for _, v := range slices.Compact(slices.Sorted(maps.Values(versions))) {
		if v != "" {
			d.Versions = append(d.Versions, v)
		}
	}
	return d
}

// connections asks a worker who is connected to NATS, or says why that is not known.
func (a *API) connections(ctx context.Context) (found []pay.Presence, hidden string) {
	if a.Worker == nil {
		return nil, "this console has no way to NATS (nats.url is not set)"
	}
	raw, err := a.Worker.Request(ctx, subjectConnections, nil, glanceWithin)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, "who is connected to NATS is not known: no worker answered within " + glanceWithin.String()
		}
		return nil, "who is connected to NATS is not known: NATS is away, or no worker runs"
	}
	document, err := problem.ReadAnswer(raw)
	var said struct {
		Connections []struct {
			Name  string    `json:"name"`
			Since time.Time `json:"since"`
		} `json:"connections"`
		Incomplete string `json:"incomplete"`
	}
	if err == nil {
		err = json.Unmarshal(document, &said)
	}
	if err != nil {
		return nil, "who is connected to NATS is not known: the worker's answer cannot be read"
	}
	for _, c := range said.Connections {
		found = append(found, pay.Presence{Name: c.Name, Since: c.Since})
	}
	return found, strings.ReplaceAll(said.Incomplete, "\n", "; ")
}

package cli

import (
	"encoding/json"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxListBytes is far beyond a dry run of a hundred thousand messages.
const maxListBytes = 512 << 20

// seen reads what --dry-run --json printed: the messages in their order.
func (c *commandLine) seen(name string) ([]operatorapi.Rehearsed, error) {
	raw, err := c.input("--expect", name, maxListBytes)
	if err != nil {
		return nil, err
	}
	bad := func(why string) error {
		e := problem.Newf(problem.Usage, "--expect %s: %s", name, why)
		e.NextStep = "Give it the document that the same command prints with --dry-run --json, unchanged."
		return e
	}
	var shape map[string]json.RawMessage
	var d operatorapi.Rehearsal
	switch {
	case json.Unmarshal(raw, &shape) != nil:
		return nil, bad("is no JSON document")
	case shape["error"] != nil:
		return nil, bad("is of a dry run that failed")
	case shape["left_alone"] != nil:
		return nil, bad("is of a replay, not of a dry run")
	case shape["deliveries"] == nil || shape["totals"] == nil || json.Unmarshal(raw, &d) != nil:
		return nil, bad("is no document of a dry run")
	}
	known := map[string]bool{}
	for _, row := range d.Deliveries {
		if _, err := parseDeliveryID(row.DeliveryID); err != nil {
			return nil, bad("names a message that has no delivery id")
		}
		if known[row.DeliveryID] {
			return nil, bad("names message " + row.DeliveryID + " twice")
		}
		known[row.DeliveryID] = true
	}
	return d.Deliveries, nil
}

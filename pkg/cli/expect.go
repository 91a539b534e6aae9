package cli

import (
	"encoding/json"
	"io"
	"os"
	"strings"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxInputBytes is far beyond a dry run of a hundred thousand messages.
const maxInputBytes = 512 << 20

// input reads a file, or what is piped in.
func (c *commandLine) input(flag, name string) ([]byte, error) {
	from := io.Reader(strings.NewReader(""))
	if name == "-" {
		if c.Pipe != nil {
			from = c.Pipe
		}
	} else {
		f, err := os.Open(name)
		if err != nil {
			e := problem.Wrap(problem.Usage, err, flag)
			e.NextStep = "Name a file that is there and that you may read; - is what is piped in."
			return nil, e
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxInputBytes+1))
	switch {
	case err != nil:
		return nil, problem.Wrap(problem.Usage, err, flag)
	case len(raw) > maxInputBytes:
		return nil, problem.Newf(problem.Usage, "%s %s: holds more than %d MiB", flag, name, maxInputBytes>>20)
	}
	return raw, nil
}

// seen reads what --dry-run --json printed: the messages in their order.
func (c *commandLine) seen(name string) ([]operatorapi.Rehearsed, error) {
	raw, err := c.input("--expect", name)
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

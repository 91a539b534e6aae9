package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
)

func (c *commandLine) status() *cobra.Command {
	return c.asks("status", "Show on one screen what waits, and since when", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		s, raw, err := document[operatorapi.Status](api.ask(ctx)(operatorapi.NewGetStatusRequest(api.base())))
		if err != nil {
			return answer{}, err
		}
		return answer{document: raw, text: c.statusText(s)}, nil
	})
}

func (c *commandLine) statusText(s operatorapi.Status) string {
	waits := func(name string, q operatorapi.Queue) []cell {
		row := []cell{{name}, {strconv.Itoa(q.Count)}, {}, {}}
		if q.OldestAt != nil {
			row[2], row[3] = cell{span(s.At.Sub(*q.OldestAt))}, cell{instant(*q.OldestAt)}
		}
		return row
	}
	said := "As of " + instant(s.At) + "\n\n" + c.rolesText(s) + "\n" + c.grid([]string{"WAITING", "COUNT", "OLDEST", "SINCE"},
		waits("unresolved orders", s.Orders),
		waits("unresolved refunds", s.Refunds),
		waits("open dead letters", s.Letters),
		waits("waiting dead letters", s.LettersWaiting),
		waits("events in the outbox", s.Outbox),
		[]cell{{"open anomalies"}, {strconv.Itoa(s.AnomaliesOpen)}, {}, {}},
	)
	var gears, sweeps [][]cell
	for _, m := range s.Merchants {
		gears = append(gears, []cell{{m.Mchid}, one(m.Gear)})
	}
	for _, sweep := range s.Sweeps {
		sweeps = append(sweeps, []cell{{sweep.Kind}, {span(s.At.Sub(sweep.BegunAt)) + " ago"}, {instant(sweep.BegunAt)}})
	}
	if len(gears) > 0 {
		said += "\n" + c.grid([]string{"MERCHANT", "NOTIFICATIONS ARE WATCHED"}, gears...)
	}
	said += c.keysText(&s)
	if len(sweeps) > 0 {
		said += "\n" + c.grid([]string{"SWEEP", "BEGAN", "AT"}, sweeps...)
	}
	return said
}

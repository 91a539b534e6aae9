package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
)

// auditEntry is what people are shown of an entry of operatorapi.AuditPage,
// to which the generator gives no name.
type auditEntry struct {
	At      time.Time      `json:"at"`
	Actor   string         `json:"actor"`
	Action  string         `json:"action"`
	Subject string         `json:"subject"`
	Mchid   *string        `json:"mchid"`
	Detail  map[string]any `json:"detail"`
}

func (c *commandLine) audit() *cobra.Command {
	var list listing
	ls := c.asks("ls", "List who did what and why, the newest first", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		got, err := read[auditEntry](ctx, &list, "entries", func(p page) (json.RawMessage, error) {
			return api.ask(ctx)(operatorapi.NewListAuditRequest(api.base(), &operatorapi.ListAuditParams{Since: p.since, Limit: p.limit, Cursor: p.cursor}))
		})
		if err != nil {
			return answer{}, err
		}
		return answer{document: got.document, text: c.auditText(got)}, nil
	})
	list.flags(c, ls)
	return c.group("audit", "See who did what", ls)
}

func (c *commandLine) auditText(got listed[auditEntry]) string {
	if len(got.rows) == 0 {
		return "Nobody did anything then.\n"
	}
	var rows [][]cell
	for _, e := range got.rows {
		more := cell{e.Subject, labelled("merchant", e.Mchid)}
		for _, key := range slices.Sorted(maps.Keys(e.Detail)) {
			more = append(more, key+": "+brief(e.Detail[key]))
		}
		rows = append(rows, []cell{{instant(e.At)}, {e.Actor}, {e.Action}, more})
	}
	text := c.grid([]string{"AT", "ACTOR", "ACTION", "MORE"}, rows...)
	if got.more {
		text += thereIsMore
	}
	return text
}

// brief says how long a list is, rather than all of it: --json has the rest.
func brief(detail any) string {
	if all, list := detail.([]any); list && len(all) > 1 {
		return fmt.Sprintf("%v and %d more", all[0], len(all)-1)
	}
	return fmt.Sprint(detail)
}

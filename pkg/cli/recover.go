package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const recoverLong = `Brings books that were restored from a backup to where they were: reads back what had been told, settles
notifications and carries commands again where they are known to have been carried out, in the order in which they
came, and asks WeChat Pay where nothing else can tell. Until it has ended nobody else moves the books.

--since says when the backup was begun, or earlier: too early costs time and nothing else. The command can be
stopped at any moment, and run again: it goes on from there. Run on books that are whole, it changes nothing.

--list lists the commands since then instead, and whether the books know how each ended.`

// notRecoverable is what no stream holds.
const notRecoverable = "In no stream, and so not brought back: operators' tokens, discards of dead letters, the audit log and reasons\n" +
	"since then, and the calls that had sent refunds. See docs/how-to/restore-a-backup.md.\n"

func (c *commandLine) recover() *cobra.Command {
	var list listing
	var reason string
	var only bool
	var leaf *cobra.Command
	leaf = c.asks("recover", "Bring restored books back to where they were", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		if only {
			return c.listRecoverable(ctx, api, &list)
		}
		for _, other := range []string{"limit", "all"} {
			if leaf.Flags().Changed(other) {
				return answer{}, problem.Newf(problem.Usage, "--%s has a meaning with --list only", other)
			}
		}
		if strings.TrimSpace(reason) == "" {
			return answer{}, problem.New(problem.Usage, "--reason must say why: it goes into the audit log")
		}
		since, err := parseSince(list.since, list.now())
		if err != nil {
			return answer{}, err
		}
		return c.runRecovery(ctx, api, operatorapi.RecoverJSONRequestBody{Since: *since, Reason: strings.TrimSpace(reason)})
	})
	leaf.Long = recoverLong
	list.flags(c, leaf)
	leaf.Flags().Lookup("since").Usage = "when the backup was begun, or earlier: 2h or 3d ago, or an instant of RFC 3339"
	leaf.Flags().BoolVar(&only, "list", false, "list the commands since then and what the books know of each; change nothing")
	leaf.Flags().StringVar(&reason, "reason", "", "why; it goes into the audit log")
	// It fails only where the flag is not there.
	_ = leaf.MarkFlagRequired("since")
	leaf.MarkFlagsMutuallyExclusive("list", "reason")
	return leaf
}

func (c *commandLine) listRecoverable(ctx context.Context, api remote, list *listing) (answer, error) {
	got, err := read[operatorapi.RecoverableCommand](ctx, list, "commands", func(p page) (json.RawMessage, error) {
		return api.ask(ctx)(operatorapi.NewListRecoverableCommandsRequest(api.base(), &operatorapi.ListRecoverableCommandsParams{
			Since: *p.since, Limit: p.limit, Cursor: p.cursor,
		}))
	})
	if err != nil {
		return answer{}, err
	}
	if len(got.rows) == 0 {
		return answer{document: got.document, text: "No command was stored since then.\n"}, nil
	}
	missing := 0
	var rows [][]cell
	for _, one := range got.rows {
		said := value(one.Outcome)
		if !one.Known {
			missing, said = missing+1, "missing"
		}
		rows = append(rows, []cell{{fine(one.StoredAt)}, {one.Mchid}, {one.Kind}, {value(one.OutTradeNo), value(one.OutRefundNo)}, {said}})
	}
	text := c.grid([]string{"STORED (UTC)", "MCHID", "COMMAND", "NUMBER", "OUTCOME"}, rows...) +
		"\n" + counted(len(got.rows), "command") + ", of which the books do not know " + strconv.Itoa(missing) + ".\n"
	if got.more {
		text += thereIsMore
	}
	return answer{document: got.document, text: text}, nil
}

func (c *commandLine) recoveredText(r *operatorapi.Recovery) string {
	n := r.Counts
	head := "The books are recovered since " + instant(r.Since) + "."
	if r.Phase != operatorapi.RecoveryPhase(pay.RecoveryDone) {
		head = "Stopped at the " + string(r.Phase) + "; the same command goes on from there."
	}
	text := head + "\n\n" + c.facts(
		fact("events", fmt.Sprintf("%d read back", n.Events)),
		fact("orders", fmt.Sprintf("%d placed again", n.Orders)),
		fact("notifications", fmt.Sprintf("%d settled again", n.Notifications)),
		fact("commands", fmt.Sprintf("%d recorded again", n.Commands), fmt.Sprintf("%d known", n.CommandsKnown), fmt.Sprintf("%d left to the worker", n.CommandsLeft)),
		fact("WeChat Pay", "asked "+counted(n.Asked, "time")),
		fact("told", fmt.Sprintf("%d events that nobody had been told of", n.Told)),
		fact("problems", strconv.Itoa(n.Problems)),
	)
	if len(r.Problems) > 0 {
		var rows [][]cell
		for _, p := range r.Problems {
			rows = append(rows, []cell{{value(p.OutTradeNo), value(p.OutRefundNo)}, {p.Detail}})
		}
		text += "\n" + c.grid([]string{"NUMBER", "LOOK AT IT"}, rows...)
	}
	if r.Phase == operatorapi.RecoveryPhase(pay.RecoveryDone) {
		text += "\n" + notRecoverable
	}
	return text
}

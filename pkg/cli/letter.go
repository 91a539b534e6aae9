package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

func (c *commandLine) deadLetter() *cobra.Command {
	return c.group("dead-letter", "List, show, replay and discard what could not be settled", c.letterLs(), c.letterShow(), c.letterReplay(), c.letterDiscard())
}

func (c *commandLine) letterLs() *cobra.Command {
	var list listing
	var mchid string
	var reason, state *choice
	var group bool
	ls := c.asks("ls", "List dead letters, the oldest first; without --state those that are not at an end", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		if group {
			return c.letterGroups(ctx, api, &list, mchid)
		}
		got, err := read[operatorapi.Letter](ctx, &list, "letters", func(p page) (json.RawMessage, error) {
			return api.ask(ctx)(operatorapi.NewListDeadLettersRequest(api.base(), &operatorapi.ListDeadLettersParams{
				Mchid: given[string](mchid), Reason: given[operatorapi.LetterReason](reason.word), State: given[operatorapi.LetterState](state.word),
				Since: p.since, Limit: p.limit, Cursor: p.cursor,
			}))
		})
		if err != nil {
			return answer{}, err
		}
		return answer{document: got.document, text: c.lettersText(got)}, nil
	})
	list.flags(c, ls)
	ls.Flags().StringVar(&mchid, "mchid", "", "only of this merchant")
	ls.Flags().BoolVar(&group, "group", false, "count them by merchant, reason and state")
	reason = choose(ls, "reason", "only for this reason", pay.LetterReasons()...)
	state = choose(ls, "state", "only in this state", pay.LetterWaiting, pay.LetterOpen, pay.LetterReplaying, pay.LetterResolved, pay.LetterDiscarded)
	for _, other := range []string{"reason", "state", "limit", "all"} {
		ls.MarkFlagsMutuallyExclusive("group", other)
	}
	return ls
}

func (c *commandLine) letterGroups(ctx context.Context, api remote, list *listing, mchid string) (answer, error) {
	since, err := parseSince(list.since, list.now())
	if err != nil {
		return answer{}, err
	}
	g, raw, err := document[operatorapi.LetterGroups](api.ask(ctx)(operatorapi.NewGroupDeadLettersRequest(api.base(), &operatorapi.GroupDeadLettersParams{Mchid: given[string](mchid), Since: since})))
	if err != nil {
		return answer{}, err
	}
	var rows [][]cell
	for _, one := range g.Groups {
		rows = append(rows, []cell{{one.Mchid}, {string(one.Reason)}, {string(one.State)}, {strconv.Itoa(one.Count)}, {instant(one.OldestAt)}})
	}
	text := "No dead letter is like that.\n"
	if len(rows) > 0 {
		text = c.grid([]string{"MCHID", "REASON", "STATE", "COUNT", "OLDEST"}, rows...)
	}
	return answer{document: raw, text: text}, nil
}

func (c *commandLine) lettersText(got listed[operatorapi.Letter]) string {
	if len(got.rows) == 0 {
		return "No dead letter is like that.\n"
	}
	var rows [][]cell
	for i := range got.rows {
		l := &got.rows[i]
		rows = append(rows, []cell{{l.DeliveryID}, {l.Mchid}, one(l.Reason), one(l.State), {instant(l.FirstFailedAt)}})
	}
	text := c.grid([]string{"DELIVERY ID", "MCHID", "REASON", "STATE", "FAILED FIRST"}, rows...)
	if got.more {
		text += thereIsMore
	}
	return text
}

func (c *commandLine) letterShow() *cobra.Command {
	var body string
	show := c.asks("show ID", "Show a dead letter; --body gives its bytes", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		id, err := parseDeliveryID(args[0])
		if err != nil {
			return answer{}, err
		}
		l, raw, err := document[operatorapi.LetterWithBytes](api.ask(ctx)(operatorapi.NewGetDeadLetterRequest(api.base(), id)))
		if err != nil {
			return answer{}, err
		}
		return c.withBytes(raw, body, l.BodyBase64, func(bytes string) string { return c.letterText(&l, bytes) })
	})
	show.Flags().StringVar(&body, "body", "", "write the bytes, as they arrived, into this new file; - is stdout")
	return show
}

// archivedID is the delivery id of any message, a dead letter or not.
func archivedID(text string) (operatorapi.DeliveryID, error) {
	id, err := parseDeliveryID(text)
	var e *problem.Error
	if errors.As(err, &e) {
		e.NextStep = "`fenflow notification ls` lists messages with their delivery ids; `fenflow order show` finds an order's."
	}
	return id, err
}

func parseDeliveryID(text string) (operatorapi.DeliveryID, error) {
	var id operatorapi.DeliveryID
	if err := id.UnmarshalText([]byte(text)); err != nil {
		e := problem.Newf(problem.Usage, "%q is no delivery id, such as 0190a1b2-0000-7000-8000-000000000001", text)
		e.NextStep = "`fenflow dead-letter ls` lists dead letters with their delivery ids; `fenflow order show` finds an order's."
		return id, e
	}
	return id, nil
}

// bytesText are the bytes as they are, but at a terminal, which would obey
// what a forger wrote.
func (c *commandLine) bytesText(raw []byte) string {
	if !c.Terminal {
		return string(raw)
	}
	return eachPlain(string(raw)) + "\n"
}

func (c *commandLine) letterText(l *operatorapi.LetterWithBytes, bytes string) string {
	said := c.facts(
		fact("dead letter", l.DeliveryID, "merchant "+l.Mchid),
		fact("reason", string(l.Reason)),
		fact("detail", l.Detail),
		fact("state", string(l.State), counted(l.Attempts, "attempt")),
		fact("dates", dated("received", &l.ReceivedAt), dated("failed first", &l.FirstFailedAt), dated("last", &l.LastFailedAt),
			dated("next try", l.NextRetryAt), dated("resolved", l.ResolvedAt)),
		fact("message", l.Kind, value(l.EventType), labelled("notification", l.NotificationID)),
		fact("order", value(l.OutTradeNo)),
		fact("transaction", value(l.TransactionID)),
		fact("key", value(l.KeyID)),
		fact("bytes", bytes),
	)
	if len(l.Headers) > 0 {
		said += "\n" + c.grid([]string{"HEADER", "VALUE"}, headerRows(l.Headers)...)
	}
	return said
}

func headerRows(headers map[string]string) [][]cell {
	var rows [][]cell
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		rows = append(rows, []cell{{name}, {headers[name]}})
	}
	return rows
}

func (c *commandLine) letterDiscard() *cobra.Command {
	var reason string
	discard := c.asks("discard ID", "Discard a dead letter, for a reason; its bytes are kept", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		id, err := parseDeliveryID(args[0])
		if err != nil {
			return answer{}, err
		}
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		l, raw, err := document[operatorapi.Letter](api.ask(ctx)(operatorapi.NewDiscardDeadLetterRequest(api.base(), id, operatorapi.DiscardDeadLetterJSONRequestBody{Reason: why})))
		if err != nil {
			return answer{}, err
		}
		return answer{document: raw, text: discardedText(&l)}, nil
	})
	because(discard, &reason)
	return discard
}

// discardedText says whose word counts: the first.
func discardedText(l *operatorapi.Letter) string {
	what := fmt.Sprintf("Dead letter %s of merchant %s (%s)", plain(l.DeliveryID), plain(l.Mchid), plain(string(l.Reason)))
	d := value(l.Discard)
	switch {
	case !d.Again:
		return what + " is " + plain(string(l.State)) + ".\n"
	case d.Actor == nil:
		return what + " was discarded already, by hand; the reason given now is not kept.\n"
	}
	return fmt.Sprintf("%s was discarded already, by %s at %s: %q. The reason given now is not kept.\n", what, plain(*d.Actor), instant(value(d.At)), plain(value(d.Reason)))
}

package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
)

const toReplayExactly = "With --json it prints a document that --expect takes: exactly this is replayed then, and it stops at an order\nthat has moved since.\n"

// rehearsalText tells people what would change; where nothing would, it says so.
func (c *commandLine) rehearsalText(r *rehearsal, noun string) string {
	if len(r.rows) == 0 {
		return "There is nothing to replay.\n"
	}
	text := "A dry run: nothing was changed. Replaying " + counted(len(r.rows), noun) + " would do this.\n\n"
	return text + c.changesText(r) + "\n" + toReplayExactly
}

// changesText is a row for each message that changes something or cannot be told,
// and the sums of all.
func (c *commandLine) changesText(r *rehearsal) string {
	several := len(merchantsOf(r.rows)) > 1
	var rows [][]cell
	for i := range r.rows {
		row := &r.rows[i]
		if changes(row) {
			rows = append(rows, changeRow(row, several))
		}
	}
	text := ""
	if len(rows) > 0 {
		head := []string{"ORDER", "SEQUENCE", "STATE", "WHAT"}
		if several {
			head = append([]string{"MCHID"}, head...)
		}
		text = c.grid(head, rows...) + "\n"
	}
	return text + r.outcomes() + ".\n" + r.sums() + ".\n"
}

// changes says whether a person should see a message's row.
func changes(row *operatorapi.Rehearsed) bool {
	quiet := row.Outcome == operatorapi.RehearsedOutcome(pay.OutcomeUnchanged) || row.Outcome == operatorapi.RehearsedOutcome(pay.OutcomeArchived)
	moved := row.Letter != nil && value(row.Letter.State) != row.Letter.StateAfter
	return !quiet || moved || row.Payments != nil || value(row.AsksOrder) || row.AsksRefund != nil
}

func merchantsOf(rows []operatorapi.Rehearsed) []string {
	var all []string
	for i := range rows {
		if !slices.Contains(all, rows[i].Mchid) {
			all = append(all, rows[i].Mchid)
		}
	}
	return all
}

func changeRow(row *operatorapi.Rehearsed, several bool) []cell {
	order, sequence, state := "", "", ""
	if o := row.Order; o != nil {
		order = o.OutTradeNo
		if o.Sequence != nil {
			sequence = step(strconv.FormatInt(*o.Sequence, 10), strconv.FormatInt(value(o.SequenceAfter), 10))
			state = step(string(value(o.State)), string(value(o.StateAfter)))
		}
		if value(o.Sequence) == 0 && o.Sequence != nil {
			sequence, state = "", "not known"
		}
	}
	cells := []cell{{order}, {sequence}, {state}, whatChanges(row)}
	if several {
		cells = append([]cell{{row.Mchid}}, cells...)
	}
	return cells
}

// step is "a → b", or a alone where it stays.
func step(was, is string) string {
	if was == is {
		return was
	}
	return was + " → " + is
}

func whatChanges(row *operatorapi.Rehearsed) cell {
	what := cell{string(row.Outcome)}
	if value(row.Reason) != "" || value(row.Detail) != "" {
		what = append(what, strings.TrimPrefix(value(row.Reason)+": "+value(row.Detail), ": "))
	}
	for _, e := range value(row.Events) {
		what = append(what, "event "+e.Fact)
	}
	for _, p := range value(row.Payments) {
		if p.New {
			what = append(what, "payment "+p.TransactionID+" of "+pay.Fen(p.AmountFen).String())
		}
	}
	for _, a := range value(row.Anomalies) {
		what = append(what, fmt.Sprintf("anomaly %s is %s (policy %s)", a.Kind, a.State, a.Policy))
	}
	for _, r := range value(row.Refunds) {
		what = append(what, fmt.Sprintf("refund %s of %s: %s", r.OutRefundNo, pay.Fen(r.AmountFen), step(orWord(value(r.State), "new"), r.StateAfter)))
	}
	if value(row.AsksOrder) {
		what = append(what, "WeChat Pay is asked about the order")
	}
	if row.AsksRefund != nil {
		what = append(what, "WeChat Pay is asked about refund "+*row.AsksRefund)
	}
	if n := len(value(row.Wakes)); n > 0 {
		what = append(what, counted(n, "letter")+" that waited for it tried again")
	}
	if row.Letter != nil {
		what = append(what, "letter "+step(orWord(string(value(row.Letter.State)), "new"), string(row.Letter.StateAfter)))
	}
	if row.Order == nil {
		what = append(what, "message "+row.DeliveryID)
	}
	return what
}

func orWord(text, word string) string {
	if text == "" {
		return word
	}
	return text
}

// outcomes counts messages: "3 applied, 1 unchanged".
func (r *rehearsal) outcomes() string {
	t := r.Totals
	return strings.Join(some([]sum{
		{t.Applied, "applied"}, {t.Unchanged, "unchanged"}, {t.Lettered, "lettered"}, {t.Archived, "archived"}, {t.Busy, "busy"}, {t.Refused, "refused"},
	}, "no message"), ", ")
}

// sums counts rows.
func (r *rehearsal) sums() string {
	t := r.Totals
	var parts []string
	for _, s := range []sum{
		{t.History, "line of history"}, {t.Payments, "payment"}, {t.Anomalies, "anomaly"}, {t.Refunds, "refund"}, {t.Events, "event"}, {t.Resolved, "letter"},
	} {
		if s.n > 0 {
			parts = append(parts, plural(s.n, s.word))
		}
	}
	if len(parts) == 0 {
		return "No row of an order changes"
	}
	text := strings.Join(parts, ", ")
	if t.Resolved > 0 {
		text += " resolved"
	}
	return text
}

type sum struct {
	n    int
	word string
}

// some are those that are not zero.
func some(sums []sum, none string) []string {
	var parts []string
	for _, s := range sums {
		if s.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", s.n, s.word))
		}
	}
	if len(parts) == 0 {
		return []string{none}
	}
	return parts
}

func plural(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case word == "line of history":
		return fmt.Sprintf("%d lines of history", n)
	case word == "anomaly":
		return fmt.Sprintf("%d anomalies", n)
	}
	return fmt.Sprintf("%d %ss", n, word)
}

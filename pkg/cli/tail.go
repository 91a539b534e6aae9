package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// pollEvery is how often a tail that follows asks for what is new.
const pollEvery = time.Second

// tail prints events page by page.
type tail struct {
	c      *commandLine
	left   int  // events to print before the end, or before following
	all    bool // however many there are
	follow bool
	every  time.Duration

	begun bool // a page has come
	away  bool // and then none came
}

// run prints what is there, and with follow what comes, until the context ends.
func (t *tail) run(ctx context.Context, api remote, next operatorapi.ListEventsParams) error {
	for {
		next.Limit = new(maxPageRows)
		if !t.all {
			next.Limit = new(t.left)
		}
		page, _, err := document[operatorapi.EventPage](api.ask(ctx)(operatorapi.NewListEventsRequest(api.base(), &next)))
		switch {
		case err == nil:
			if err := t.print(page); err != nil {
				return problem.Wrap(problem.Internal, err, "write the events")
			}
			next.After, next.Since, next.Cursor = nil, nil, &page.NextCursor
		case ctx.Err() != nil && t.begun:
			return nil
		case !t.begun || !t.follow || !passing(err):
			return err
		case !t.away:
			t.say("The console gives no answer (%v); this goes on when it does.", err)
			t.away = true
		}
		done := !t.away && (!page.More || !t.all && t.left == 0)
		if done && !t.follow {
			return nil
		}
		t.all = t.all || done // what comes from now on is shown, however many
		if (done || t.away) && !rested(ctx, t.every) {
			return nil
		}
	}
}

// say is for people, beside what programs read.
func (t *tail) say(format string, args ...any) {
	_, _ = fmt.Fprintln(t.c.Stderr, plain(fmt.Sprintf(format, args...))) // nobody is left to tell
}

func (t *tail) print(page operatorapi.EventPage) error {
	if t.away {
		t.say("The console answers again; nothing was left out.")
	}
	if page.Restarted {
		t.say("The stream of events was made anew at %s: sequences begin again, and so does this. Some events may come a second time, with the id that they had.", instant(page.Stream.MadeAt))
	}
	if !t.begun && !t.c.json && len(page.Events) > 0 {
		if _, err := io.WriteString(t.c.Stdout, t.row("STORED", "SEQUENCE", "MCHID", "FACT", "OUT_TRADE_NO", "AMOUNT", "ID")); err != nil {
			return err //nolint:wrapcheck // the caller names the step
		}
	}
	t.begun, t.away = true, false
	gaps := page.Gaps
	for i := range page.Events {
		e := &page.Events[i]
		for ; len(gaps) > 0 && gaps[0].From < e.Sequence; gaps = gaps[1:] {
			t.missing(gaps[0].From, gaps[0].To)
		}
		if err := t.one(e); err != nil {
			return err
		}
	}
	for _, g := range gaps {
		t.missing(g.From, g.To)
	}
	t.left = max(t.left-len(page.Events), 0)
	return nil
}

func (t *tail) missing(from, to int64) {
	if from == to {
		t.say("Sequence %d is not stored any more.", from)
		return
	}
	t.say("Sequences %d to %d are not stored any more.", from, to)
}

// one prints one event: a line for people, or the CloudEvent on a line.
func (t *tail) one(e *operatorapi.StoredEvent) error {
	var raw json.RawMessage
	if e.Event != nil {
		raw = *e.Event
	}
	switch {
	case raw == nil:
		t.say("Sequence %d holds no event: %s.", e.Sequence, value(e.Unreadable))
		return nil
	case t.c.json:
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			return err //nolint:wrapcheck // the caller names the step
		}
		_, err := t.c.Stdout.Write(append(visible(line.Bytes()), '\n'))
		return err //nolint:wrapcheck // as above
	}
	var read event.Event
	_ = json.Unmarshal(raw, &read) // what it does not hold is left empty
	_, err := io.WriteString(t.c.Stdout, t.row(instant(e.StoredAt), strconv.FormatInt(e.Sequence, 10), e.Mchid, e.Fact,
		read.Subject, moneyOf(read.Data), read.ID))
	return err //nolint:wrapcheck // as above
}

// moneyOf is the amount that the event is about.
func moneyOf(o event.Order) string {
	switch {
	case o.Refund != nil:
		return amount(o.Refund.AmountFen, o.Refund.Currency)
	case o.Anomaly != nil:
		return amount(o.Anomaly.ActualFen, o.Currency)
	case o.OutTradeNo == "":
		return ""
	}
	return amount(o.AmountFen, o.Currency)
}

// row has columns of a width that most events need: lines come one by one, so
// that no table can be laid out around them.
func (*tail) row(stored, sequence, mchid, fact, no, money, id string) string {
	return fmt.Sprintf("%-20s  %8s  %-10s  %-16s  %-20s  %12s  %s\n", plain(stored), sequence, plain(mchid), plain(fact), plain(no), plain(money), plain(id))
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// How often a story is looked at, and how seldom while nobody answers.
const (
	watchEach   = time.Second
	maxWatchGap = 10 * time.Second
)

const orderWatchLong = `Follow an order, by any number that appears anywhere: print each moment of its story as it comes, one on each line, those so far
first. A moment that changes (an event is published, a letter is resolved) is printed again. It ends when the order is at an end:
paid, closed or failed, with every refund resolved and every event published; or as soon as it is in the state of --until. While
the console is away it says so and goes on.

With --json each line is one JSON document: a moment as the API tells it; a failure is the last line.

Exit codes: 0 the end came, or Ctrl-C, 5 the end came and it was not that of --until, 7 --timeout passed, or Ctrl-C before --until`

func (c *commandLine) orderWatch() *cobra.Command {
	var mchid string
	var until *choice
	var timeout time.Duration
	watch := c.asks("watch NUMBER", "Follow an order live, by any number", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		c.jsonLines = true
		if timeout < 0 {
			return answer{}, problem.Newf(problem.Usage, "--timeout %s: must not be negative", timeout)
		}
		first, _, err := api.theStory(ctx, args[0], mchid)
		if err != nil {
			return answer{}, err
		}
		bounded, cancel := context.WithCancel(ctx)
		if timeout > 0 {
			bounded, cancel = context.WithTimeout(ctx, timeout)
		}
		defer cancel()
		w := &watcher{seen: map[string]bool{}, until: until.word, tell: c.tell, moment: c.momentLine, look: func(ctx context.Context) (seenStory, error) {
			s, _, err := document[seenStory](api.ask(ctx)(operatorapi.NewGetStoryRequest(api.base(), first.Order.OutTradeNo, &operatorapi.GetStoryParams{Mchid: &first.Order.Mchid})))
			return s, err
		}}
		last, err := w.watch(bounded)
		if err != nil {
			return answer{}, err
		}
		return c.watched(last, until.word, ctx.Err() == nil && bounded.Err() != nil, timeout)
	})
	watch.Long = orderWatchLong
	watch.Flags().StringVar(&mchid, "mchid", "", "the merchant, where several use the number")
	watch.Flags().DurationVar(&timeout, "timeout", 0, "give up after so long, such as 90s; 0: never")
	until = choose(watch, "until", "end as soon as the order is in this state", pay.OrderCreated, pay.OrderAwaitingPayment, pay.OrderPaid, pay.OrderClosed, pay.OrderFailed)
	return watch
}

// watched says how it ended.
func (c *commandLine) watched(last seenStory, until string, late bool, timeout time.Duration) (answer, error) {
	state := string(last.Order.State)
	reached := until == state || until == "" && last.atEnd()
	switch {
	case reached:
		return answer{streamed: true}, nil
	case late:
		e := problem.Newf(problem.Unavailable, "order %s is %s after %s", plain(last.Order.OutTradeNo), plain(state), timeout)
		if awaited := last.awaited(); until == "" && len(awaited) > 0 {
			e.Detail += ", and still to come: " + strings.Join(awaited, "; ")
		}
		e.NextStep = "Run the same command again to go on watching; `fenflow order check` asks WeChat Pay now."
		return answer{}, e
	case last.atEnd():
		c.tell("Order " + plain(last.Order.OutTradeNo) + " is at its end: " + plain(state) + ", and not " + until + ".\n")
		return answer{streamed: true, exit: problem.ExitRefused}, nil
	case until != "":
		return answer{streamed: true, exit: problem.ExitUnavailable}, nil
	}
	return answer{streamed: true}, nil // Ctrl-C
}

// momentLine prints one moment.
func (c *commandLine) momentLine(raw json.RawMessage) error {
	if c.json {
		return wrote(c.writeJSON(raw))
	}
	var m operatorapi.Moment
	if err := json.Unmarshal(raw, &m); err != nil {
		return problem.Wrap(problem.Internal, err, "the console's answer is not what the API promises")
	}
	_, err := fmt.Fprintf(c.Stdout, "%s  %-8s  %-18s  %s\n", fine(m.At), plain(string(m.Kind)), plain(m.What), happened(&m).line())
	return wrote(err)
}

func wrote(err error) error {
	if err != nil {
		return problem.Wrap(problem.Internal, err, "write the answer")
	}
	return nil
}

// seenStory is a story with its moments as they came.
type seenStory struct {
	Order    operatorapi.Order    `json:"order"`
	Refunds  []operatorapi.Refund `json:"refunds"`
	Timeline []json.RawMessage    `json:"timeline"`
}

// atEnd says whether nothing more is to come by itself.
func (s *seenStory) atEnd() bool {
	return !pay.OrderState(s.Order.State).Open() && len(s.awaited()) == 0
}

// awaited is what is still to come, beside the end of the order itself.
func (s *seenStory) awaited() (all []string) {
	for i := range s.Refunds {
		if r := &s.Refunds[i]; pay.RefundState(r.State).Unresolved() {
			all = append(all, plain("the end of refund "+r.OutRefundNo+", which is "+string(r.State)))
		}
	}
	for _, raw := range s.Timeline {
		var m operatorapi.Moment
		if json.Unmarshal(raw, &m) == nil && m.Kind == operatorapi.MomentKindEvent && m.PublishedAt == nil {
			all = append(all, plain("event "+m.What+", which is not published"))
		}
	}
	return all
}

// watcher looks at one story again and again.
type watcher struct {
	look   func(context.Context) (seenStory, error)
	moment func(json.RawMessage) error
	tell   func(string) // people who look on
	until  string
	seen   map[string]bool
	last   seenStory
}

// watch ends with the story, or with the context. The first look must work; a
// console that is away later is waited for.
func (w *watcher) watch(ctx context.Context) (seenStory, error) {
	away := false
	for gap := time.Duration(0); ; {
		if !rested(ctx, gap) {
			return w.last, nil
		}
		s, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return w.last, nil //nolint:nilerr // whoever ends the watch cuts a look short
		case err != nil && (w.last.Order.OutTradeNo == "" || !passing(err)):
			return w.last, err
		case err != nil:
			if !away && problem.KindOf(err) != problem.TooManyRequests {
				w.tell("The console is away; the watch goes on.\n")
				away = true
			}
			gap = longer(gap, err)
			continue
		case away:
			w.tell("The console is back.\n")
		}
		away, gap, w.last = false, watchEach, s
		if err := w.news(); err != nil {
			return w.last, err
		}
		if string(s.Order.State) == w.until || s.atEnd() {
			return w.last, nil
		}
	}
}

// news tells each moment that was not there, or not as it is now.
func (w *watcher) news() error {
	for _, raw := range w.last.Timeline {
		if w.seen[string(raw)] {
			continue
		}
		w.seen[string(raw)] = true
		if err := w.moment(raw); err != nil {
			return err
		}
	}
	return nil
}

// longer is the next gap while nobody answers.
func longer(gap time.Duration, err error) time.Duration {
	gap = min(max(2*gap, watchEach), maxWatchGap)
	var refused *refusal
	if errors.As(err, &refused) {
		gap = max(gap, min(refused.retryAfter, maxWait))
	}
	return gap
}

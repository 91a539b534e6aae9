package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

// noConsumer is the state of a consumer that a worker has yet to make.
const noConsumer = "missing"

func (c *commandLine) subscriber() *cobra.Command {
	return c.group("subscriber", "Let business systems be told of events; see how far each is", c.subscriberAdd(), c.subscriberLs(), c.subscriberShow(), c.subscriberTold(), c.subscriberRm())
}

func (c *commandLine) subscriberLs() *cobra.Command {
	var list listing
	var mchid string
	ls := c.asks("ls", "List subscribers and what they have not acknowledged, the newest first", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		got, err := read[operatorapi.Subscriber](ctx, &list, "subscribers", func(p page) (json.RawMessage, error) {
			return api.ask(ctx)(operatorapi.NewListSubscribersRequest(api.base(), &operatorapi.ListSubscribersParams{
				Mchid: given[string](mchid), Since: p.since, Limit: p.limit, Cursor: p.cursor,
			}))
		})
		if err != nil {
			return answer{}, err
		}
		return answer{document: got.document, text: c.subscribersText(got)}, nil
	})
	list.flags(c, ls)
	ls.Flags().StringVar(&mchid, "mchid", "", "only of this merchant")
	return ls
}

func (c *commandLine) subscribersText(got listed[operatorapi.Subscriber]) string {
	if len(got.rows) == 0 {
		return "No subscriber is like that: `fenflow subscriber add NAME` adds one.\n"
	}
	var rows [][]cell
	for i := range got.rows {
		s := &got.rows[i]
		last := ""
		if s.Consumer != nil && s.Consumer.LastAcknowledgedAt != nil {
			last = instant(*s.Consumer.LastAcknowledgedAt)
		}
		rows = append(rows, []cell{{s.Name}, {s.Mchid}, {outstanding(s)}, {last}, toldOf(s)})
	}
	text := c.grid([]string{"NAME", "MCHID", "NOT ACKNOWLEDGED", "LAST ACKNOWLEDGED", "TOLD OF"}, rows...)
	if got.more {
		text += thereIsMore
	}
	return text
}

// outstanding is how many events a subscriber has not acknowledged.
func outstanding(s *operatorapi.Subscriber) string {
	switch {
	case s.Consumer == nil:
		return "not known now"
	case string(s.Consumer.State) == noConsumer:
		return "no consumer yet"
	}
	return strconv.FormatInt(s.Consumer.Pending+s.Consumer.AckPending, 10)
}

func toldOf(s *operatorapi.Subscriber) cell {
	if facts := value(s.Facts); len(facts) > 0 {
		return facts
	}
	return cell{"all facts"}
}

func (c *commandLine) subscriberShow() *cobra.Command {
	var account bool
	show := c.asks("show NAME", "Show how far a subscriber is; --nats gives what NATS needs to let it in", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		if account && c.json {
			return answer{}, problem.New(problem.Usage, "--nats and --json both want stdout: the document has the account as nats_account")
		}
		if err := isPathWord(args[0]); err != nil {
			return answer{}, err
		}
		s, raw, err := document[operatorapi.Subscriber](api.ask(ctx)(operatorapi.NewGetSubscriberRequest(api.base(), args[0])))
		switch {
		case err != nil:
			return answer{}, err
		case account:
			return answer{text: eachPlain(value(s.NatsAccount))}, nil
		}
		return answer{document: raw, text: c.facts(subscriberFacts(&s)...)}, nil
	})
	show.Flags().BoolVar(&account, "nats", false, "print its account for NATS and nothing else: >> subscribers/accounts.conf, beside nats.conf")
	return show
}

// isPathWord refuses what would lead to another address.
func isPathWord(name string) error {
	if strings.Trim(name, ".") == "" {
		return problem.Newf(problem.Usage, "%q is no name of a subscriber", name)
	}
	return nil
}

// eachPlain makes each line harmless at a terminal: the text came over a network.
func eachPlain(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

func subscriberFacts(s *operatorapi.Subscriber) [][]cell {
	rows := [][]cell{
		fact("subscriber", s.Name, "merchant "+s.Mchid),
		fact("told of", toldOf(s)...),
		fact("key", s.Nkey),
		fact("begins", dated("at", s.FromAt)),
		fact("added", instant(s.CreatedAt), "by "+s.CreatedBy),
	}
	if k := s.Consumer; k != nil {
		rows = append(rows, consumerFacts(k)...)
	} else {
		rows = append(rows, fact("consumer", "not known now: no worker or no broker answers"))
	}
	if l := s.LastSample; l != nil {
		rows = append(rows, fact("last sample", "message "+strconv.FormatInt(l.AcknowledgedUpTo, 10), instant(l.At)))
	}
	if n := s.Connect; n != nil {
		rows = append(rows, fact("connects to", "stream "+n.Stream, "consumer "+n.Consumer, "API prefix "+n.APIPrefix, "inbox prefix "+n.InboxPrefix))
	}
	return rows
}

func consumerFacts(k *operatorapi.SubscriberConsumer) [][]cell {
	if string(k.State) == noConsumer {
		return [][]cell{fact("consumer", "missing", "a worker makes it within seconds")}
	}
	return [][]cell{
		fact("consumer", string(k.State)),
		fact("acknowledged", fmt.Sprintf("up to message %d of %d", k.AcknowledgedUpTo, k.LastEvent), dated("last", k.LastAcknowledgedAt)),
		fact("not acknowledged", counted(int(k.Pending+k.AckPending), "event"), fmt.Sprintf("%d handed out", k.AckPending),
			fmt.Sprintf("%d more than once", k.Redelivered), dated("the oldest of", k.OldestUnacknowledgedAt)),
	}
}

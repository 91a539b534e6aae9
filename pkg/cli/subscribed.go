package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

func (c *commandLine) subscriberTold() *cobra.Command {
	var mchid string
	told := c.asks("told NAME OUT_TRADE_NO", "Say which events of an order a subscriber has acknowledged", cobra.ExactArgs(2), func(ctx context.Context, api remote, args []string) (answer, error) {
		for _, arg := range args {
			if err := isPathWord(arg); err != nil {
				return answer{}, err
			}
		}
		t, raw, err := document[operatorapi.ToldEvents](api.ask(ctx)(operatorapi.NewGetToldRequest(api.base(), args[0], args[1], &operatorapi.GetToldParams{Mchid: given[string](mchid)})))
		if err != nil {
			return answer{}, err
		}
		return answer{document: raw, text: c.toldText(&t)}, nil
	})
	told.Long = "Say which events of an order a subscriber has acknowledged. Acknowledgements count in order: an event\nis \"not yet\" until it and all before it are acknowledged. The time is when that was seen first."
	told.Flags().StringVar(&mchid, "mchid", "", "the order's merchant; it must be the subscriber's")
	return told
}

func (c *commandLine) toldText(t *operatorapi.ToldEvents) string {
	said := c.facts(
		fact("subscriber", t.Subscriber, fmt.Sprintf("acknowledged up to message %d", t.AcknowledgedUpTo)),
		fact("order", t.OutTradeNo, "merchant "+t.Mchid),
	)
	var rows [][]cell
	for _, e := range t.Events {
		published := ""
		if e.PublishedAt != nil {
			published = fine(*e.PublishedAt)
		}
		rows = append(rows, []cell{{e.Fact}, {toldWords(e.Told)}, {strings.TrimPrefix(number("", e.StreamSequence), " ")}, {published}, {dated("seen", e.At)}})
	}
	return said + "\n" + c.grid([]string{"EVENT", "TOLD", "MESSAGE", "PUBLISHED (UTC)", "ACKNOWLEDGED BY THEN"}, rows...)
}

func toldWords(told operatorapi.Told) string {
	if pay.Told(told) == pay.ToldBeforeStart {
		return "before its start"
	}
	return strings.ReplaceAll(string(told), "_", " ")
}

func (c *commandLine) subscriberRm() *cobra.Command {
	var reason string
	var yes bool
	rm := c.asks("rm NAME", "Remove a subscriber and its consumer, for a reason", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		if err := isPathWord(args[0]); err != nil {
			return answer{}, err
		}
		s, _, err := document[operatorapi.Subscriber](api.ask(ctx)(operatorapi.NewGetSubscriberRequest(api.base(), args[0])))
		if err != nil {
			return answer{}, err
		}
		if left := outstanding(&s); left != "0" && !yes {
			said := plain(s.Name) + " has not acknowledged everything (" + left + ")"
			meant, err := c.confirmed(ctx, said+". Remove it all the same?", said+"; there is nobody to ask whether it is to go all the same")
			switch {
			case err != nil:
				return answer{}, err
			case !meant:
				return answer{document: map[string]any{}, text: "Nothing was removed.\n", exit: problem.ExitRefused}, nil
			}
			yes = true
		}
		return c.remove(ctx, api, args[0], why, yes)
	})
	because(rm, &reason)
	rm.Flags().BoolVar(&yes, "yes", false, "also if it has not acknowledged everything, and do not ask")
	return rm
}

func (c *commandLine) remove(ctx context.Context, api remote, name, reason string, anyway bool) (answer, error) {
	body := operatorapi.RemoveSubscriberJSONRequestBody{Reason: reason}
	if anyway {
		body.LoseUnacknowledged = &anyway
	}
	r, raw, err := document[operatorapi.RemovedSubscriber](api.ask(ctx)(operatorapi.NewRemoveSubscriberRequest(api.base(), name, body)))
	if err != nil {
		return answer{}, err
	}
	left := "nobody can say how many events it had not acknowledged"
	if r.Unacknowledged != nil {
		left = counted(int(*r.Unacknowledged), "event") + " not acknowledged"
	}
	text := fmt.Sprintf("Subscriber %s of merchant %s is removed, %s.\n", plain(r.Name), plain(r.Mchid), left)
	if !r.ConsumerDeleted {
		text += "Its consumer is deleted as soon as a worker reaches NATS.\n"
	}
	return answer{document: raw, text: text + "Take its account SUBSCRIBER_" + plain(r.Name) + " out of subscribers/accounts.conf, and have NATS read it.\n"}, nil
}

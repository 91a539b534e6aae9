package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
)

func (c *commandLine) notification() *cobra.Command {
	return c.group("notification", "List, show and verify what WeChat Pay sent", c.notificationLs(), c.notificationShow(), c.notificationVerify())
}

func (c *commandLine) notificationLs() *cobra.Command {
	var list listing
	var mchid string
	var kind *choice
	ls := c.asks("ls", "List what WeChat Pay sent, the newest first", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		got, err := read[operatorapi.Notification](ctx, &list, "notifications", func(p page) (json.RawMessage, error) {
			return api.ask(ctx)(operatorapi.NewListNotificationsRequest(api.base(), &operatorapi.ListNotificationsParams{
				Mchid: given[string](mchid), Kind: given[operatorapi.DeliveryKind](kind.word), Since: p.since, Limit: p.limit, Cursor: p.cursor,
			}))
		})
		if err != nil {
			return answer{}, err
		}
		return answer{document: got.document, text: c.notificationsText(got)}, nil
	})
	list.flags(c, ls)
	ls.Flags().StringVar(&mchid, "mchid", "", "only of this merchant")
	kind = choose(ls, "kind", "only of this kind; answer is what WeChat Pay answered when it was asked", pay.DeliveryNotifyV3, pay.DeliveryNotifyV2Pay, pay.DeliveryNotifyV2Refund, pay.DeliveryAnswer)
	return ls
}

func (c *commandLine) notificationsText(got listed[operatorapi.Notification]) string {
	switch {
	case len(got.rows) == 0 && got.more:
		return noneAmongLatest + thereIsMore
	case len(got.rows) == 0:
		return "No notification is like that.\n"
	}
	var rows [][]cell
	for i := range got.rows {
		n := &got.rows[i]
		rows = append(rows, []cell{{instant(n.ReceivedAt)}, {n.DeliveryID}, {value(n.EventType), n.Kind, labelled("order", n.OutTradeNo), "merchant " + n.Mchid, shortKey(value(n.KeyID))}})
	}
	text := c.grid([]string{"RECEIVED", "DELIVERY ID", "MESSAGE"}, rows...)
	if got.more {
		text += thereIsMore
	}
	return text
}

// shortKey is enough of a key's id to tell it from others in a list.
func shortKey(id string) string {
	const begin, end = 11, 8 // PUB_KEY_ID_ and the digits that differ
	if len(id) > begin+end {
		id = id[:begin] + "…" + id[len(id)-end:]
	}
	if id == "" {
		return ""
	}
	return "key " + id
}

func (c *commandLine) notificationShow() *cobra.Command {
	var body string
	show := c.asks("show ID", "Show a message, which key verified it and what it did; --body gives its bytes", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		id, err := archivedID(args[0])
		if err != nil {
			return answer{}, err
		}
		n, raw, err := document[operatorapi.NotificationWithBytes](api.ask(ctx)(operatorapi.NewGetNotificationRequest(api.base(), id)))
		if err != nil {
			return answer{}, err
		}
		return c.withBytes(raw, body, n.BodyBase64, func(bytes string) string { return c.notificationText(&n, bytes) })
	})
	show.Flags().StringVar(&body, "body", "", "write the bytes, as they arrived, into this new file; - is stdout")
	return show
}

func (c *commandLine) notificationText(n *operatorapi.NotificationWithBytes, bytes string) string {
	letter, did := "", "nothing: what it tells was known already"
	for i := range n.Moments {
		if n.Moments[i].Kind != operatorapi.MomentKindDelivery {
			did = ""
		}
	}
	if value(n.OutTradeNo) == "" {
		did = ""
	}
	if state := value(n.LetterState); state != "" {
		letter = state + "; `fenflow dead-letter show " + n.DeliveryID + "` says why"
	}
	said := c.facts(
		fact("delivery", n.DeliveryID, "merchant "+n.Mchid),
		fact("received", instant(n.ReceivedAt)),
		fact("message", n.Kind, value(n.EventType), labelled("notification", n.NotificationID)),
		fact("verified by", value(n.KeyID)),
		fact("order", value(n.OutTradeNo)),
		fact("transaction", value(n.TransactionID)),
		fact("dead letter", letter),
		fact("did", did),
		fact("bytes", bytes),
	)
	if len(n.Headers) > 0 {
		said += "\n" + c.grid([]string{"HEADER", "VALUE"}, headerRows(n.Headers)...)
	}
	var rows [][]cell
	for i := range n.Moments {
		m := &n.Moments[i]
		rows = append(rows, []cell{{fine(m.At)}, one(m.Kind), {m.What}, happened(m)})
	}
	if len(rows) > 0 {
		said += "\n" + c.grid([]string{"UTC", "KIND", "WHAT", "MORE"}, rows...)
	}
	return said
}

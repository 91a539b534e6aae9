package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
)

const thereIsMore = "There are more: --all lists all of them, --since and the other flags fewer.\n"

func (c *commandLine) order() *cobra.Command {
	return c.group("order", "List orders; show, watch, check and close one by any number", c.orderLs(), c.orderShow(), c.orderWatch(), c.orderCheck(), c.orderClose())
}

func (c *commandLine) orderLs() *cobra.Command {
	var list listing
	var mchid string
	var state *choice
	ls := c.asks("ls", "List orders, the newest first", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		got, err := read[operatorapi.Order](ctx, &list, "orders", func(p page) (json.RawMessage, error) {
			return api.ask(ctx)(operatorapi.NewListOrdersRequest(api.base(), &operatorapi.ListOrdersParams{
				Mchid: given[string](mchid), State: given[operatorapi.OrderState](state.word),
				Since: p.since, Limit: p.limit, Cursor: p.cursor,
			}))
		})
		if err != nil {
			return answer{}, err
		}
		return answer{document: got.document, text: c.ordersText(got)}, nil
	})
	list.flags(c, ls)
	ls.Flags().StringVar(&mchid, "mchid", "", "only of this merchant")
	state = choose(ls, "state", "only in this state", pay.OrderCreated, pay.OrderAwaitingPayment, pay.OrderPaid, pay.OrderClosed, pay.OrderFailed)
	return ls
}

func (c *commandLine) ordersText(got listed[operatorapi.Order]) string {
	if len(got.rows) == 0 {
		return "No order is like that.\n"
	}
	var rows [][]cell
	for i := range got.rows {
		o := &got.rows[i]
		rows = append(rows, []cell{{instant(o.CreatedAt)}, {o.Mchid}, {o.OutTradeNo}, one(o.State), {amount(o.AmountFen, o.Currency)}})
	}
	text := c.grid([]string{"CREATED", "MCHID", "OUT_TRADE_NO", "STATE", "AMOUNT"}, rows...)
	if got.more {
		text += thereIsMore
	}
	return text
}

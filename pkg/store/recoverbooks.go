package store

import (
	"context"
	_ "embed"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/read_orders.sql
	readOrdersSQL string
	//go:embed queries/read_refunds_of_orders.sql
	readRefundsOfOrdersSQL string
	//go:embed queries/catch_up_orders.sql
	catchUpOrdersSQL string
	//go:embed queries/catch_up_refunds.sql
	catchUpRefundsSQL string
	//go:embed queries/known_commands.sql
	knownCommandsSQL string
)

// PlaceOrders places orders whose numbers are free, all of them in one commit,
// and says how many those were, with their events. Each has its own row,
// history and event in one statement, as with CreateOrder.
func (s *Store) PlaceOrders(ctx context.Context, orders []pay.Order) (placed int, events []pay.Outgoing, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		placed, events = 0, nil
		for _, o := range orders {
			book, change := pay.NewOrder(settledOrder(o), pay.SourceEvent)
			outgoing, err := encodeEvents(change.Events)
			if err != nil {
				return &Error{step: "encode events", broken: true, err: err}
			}
			var one int
			if err := tx.GetContext(ctx, &one, createOrderSQL, createOrderArgs(book.Order, change.History, outgoing)...); err != nil {
				return failed(ctx, "insert order", err)
			}
			if one == 1 {
				placed, events = placed+1, append(events, outgoing...)
			}
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	return placed, events, nil
}

// OrderBooks reads the books of some orders. An order that is not known is not
// in the answer.
func (s *Store) OrderBooks(ctx context.Context, keys []pay.OrderKey) (map[pay.OrderKey]pay.OrderBook, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var (
		mchids, numbers = keyTexts(keys)
		orders          []orderRow
		payments        []paymentRow
		refunds         []refundRow
		anomalies       []anomalyRow
	)
	for _, read := range []struct {
		step, query string
		into        any
	}{
		{"read orders", readOrdersSQL, &orders}, {"read payments", readPaymentsSQL, &payments},
		{"read refunds", readRefundsOfOrdersSQL, &refunds}, {"read anomalies", readAnomaliesSQL, &anomalies},
	} {
		if err := s.db.SelectContext(ctx, read.into, read.query, mchids, numbers); err != nil {
			return nil, failed(ctx, read.step, err)
		}
	}
	books := make(map[pay.OrderKey]pay.OrderBook, len(orders))
	for i := range orders {
		o := orders[i].order()
		books[pay.OrderKey{MchID: o.MchID, OutTradeNo: o.OutTradeNo}] = pay.OrderBook{
			Order: o, Payments: map[pay.TransactionID]pay.Payment{}, Refunds: map[pay.OutRefundNo]pay.Refund{},
		}
	}
	for i := range payments {
		p := payments[i].payment()
		books[pay.OrderKey{MchID: p.MchID, OutTradeNo: p.OutTradeNo}].Payments[p.TransactionID] = p
	}
	for i := range refunds {
		r := refunds[i].refund()
		books[pay.OrderKey{MchID: r.MchID, OutTradeNo: r.OutTradeNo}].Refunds[r.OutRefundNo] = r
	}
	for i := range anomalies {
		a := anomalies[i].anomaly()
		key := pay.OrderKey{MchID: a.MchID, OutTradeNo: a.OutTradeNo}
		book := books[key]
		book.Anomalies = append(book.Anomalies, a)
		books[key] = book
	}
	return books, nil
}

// CatchUpOrders lets orders go on after the last sequence that was told of
// them, and makes those due now that are not resolved, and their refunds.
func (s *Store) CatchUpOrders(ctx context.Context, told map[pay.OrderKey]int64) error {
	if len(told) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var mchids, numbers texts
	var sequences integers
	for key, sequence := range told {
		mchids, numbers = append(mchids, string(key.MchID)), append(numbers, string(key.OutTradeNo))
		sequences = append(sequences, sequence)
	}
	if _, err := s.db.ExecContext(ctx, catchUpOrdersSQL, mchids, numbers, sequences); err != nil {
		return failed(ctx, "catch up orders", err)
	}
	_, err := s.db.ExecContext(ctx, catchUpRefundsSQL, mchids, numbers)
	return failed(ctx, "catch up refunds", err)
}

// KnownCommands gives the outcomes of those of the commands that have one.
func (s *Store) KnownCommands(ctx context.Context, commands []pay.StoredCommand) (map[pay.CommandID]pay.CommandResult, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var mchids texts
	var asked []pay.DeliveryID
	for _, c := range commands {
		if id := pay.DeliveryID(c.ID); len(usableIDs([]pay.DeliveryID{id})) == 1 {
			mchids, asked = append(mchids, string(c.MchID)), append(asked, id)
		}
	}
	var rows []commandRow
	if err := s.db.SelectContext(ctx, &rows, knownCommandsSQL, mchids, usableIDs(asked)); err != nil {
		return nil, failed(ctx, "read commands", err)
	}
	known := make(map[pay.CommandID]pay.CommandResult, len(rows))
	for i := range rows {
		result := rows[i].result()
		known[result.ID] = result
	}
	return known, nil
}

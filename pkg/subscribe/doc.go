// Package subscribe gives a business system an inbox: each event of fenflow
// has its effect once, in a transaction of the business system's own
// PostgreSQL.
//
//	inbox, err := subscribe.Open(ctx, subscribe.Options{
//		URL: "nats://nats:4222", Consumer: "shop", SeedFile: "shop.nk", DB: db,
//	})
//	if err != nil {
//		return err
//	}
//	defer inbox.Close()
//	return inbox.Run(ctx, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
//		if e.Type != event.TypeOrderPaid {
//			return nil
//		}
//		_, err := tx.ExecContext(ctx, `INSERT INTO parcels (out_trade_no) VALUES ($1)`, e.Data.OutTradeNo)
//		return err
//	})
//
// Its neighbours: fenflow's worker publishes events and keeps a durable
// consumer for each business system; the handler is the caller's, as are the
// database and its driver. Of fenflow it imports the event types only.
//
// It guarantees that what the handler does within the transaction counts once
// for each event id: the id is remembered in the same commit as the effect,
// and the broker is told after that commit. A crash at any moment, a repeat, a
// second instance or a broker that forgot an acknowledgement brings the event
// again, and the memory answers. No event is given up: one that fails comes
// again with a growing pause, is reported each time, and holds up no other. A
// database or a broker that is away is waited for without end.
//
// It leaves to others: effects outside of the transaction (a mail, a call to
// another system: write the wish into a table and send it from there, for a
// transaction that is rolled back takes no mail back), and the order of
// things. Events arrive in any order; overwrite a stored copy of an order only
// with a higher Sequence. What "committed" means is the database's affair:
// with synchronous_commit off, a power cut can take an effect whose event was
// acknowledged.
//
// Acknowledgements are plain ones. A double acknowledgement would cost a
// round trip and prove nothing, because the broker itself writes them down
// later; so nothing rests on them but how often an event is handed out again.
package subscribe

// Subscriber-go is a business system in its smallest form: it packs one parcel
// for each paid order, however often and in whatever order the events arrive,
// and whenever it is killed.
//
//	DATABASE_URL='postgres://shop@127.0.0.1/shop?sslmode=disable' \
//	NATS_URL=nats://127.0.0.1:4222 NATS_PASSWORD=… go run ./examples/subscriber-go
package main

import (
	"context"
	"database/sql"
	"log"
	"os"
	"os/signal"

	_ "github.com/lib/pq"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/subscribe"
)

// schema is the shop's own; the table of events that were acted on is made by
// the inbox.
const schema = `
CREATE TABLE IF NOT EXISTS parcels (
    out_trade_no text   NOT NULL,
    amount_fen   bigint NOT NULL
)`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv("DATABASE_URL"), os.Getenv("NATS_URL"), os.Getenv("NATS_PASSWORD")); err != nil {
		log.Fatal(err) //nolint:gocritic // there is nothing left to stop
	}
}

func run(ctx context.Context, databaseURL, natsURL, password string) error {
	db, err := sql.Open("postgres", databaseURL)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // the program ends here
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	inbox, err := subscribe.Open(ctx, subscribe.Options{
		URL: natsURL, Consumer: "business", User: "subscriber", Password: password, DB: db,
	})
	if err != nil {
		return err
	}
	defer inbox.Close()
	return inbox.Run(ctx, pack)
}

// pack does what a paid order asks for. Its parcel and the memory of the event
// are one commit.
func pack(ctx context.Context, tx *sql.Tx, e event.Event) error {
	if e.Type != event.TypeOrderPaid {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO parcels VALUES ($1, $2)`, e.Data.OutTradeNo, e.Data.AmountFen)
	return err
}

package subscribe_test

import (
	"context"
	"database/sql"
	"log"
	"os/signal"
	"syscall"

	_ "github.com/lib/pq" // or any other driver of PostgreSQL

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/subscribe"
)

// A shop packs a parcel for each paid order and keeps a copy of every order.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	db, err := sql.Open("postgres", "postgres://shop@db/shop?sslmode=verify-full")
	if err != nil {
		log.Panic(err)
	}
	inbox, err := subscribe.Open(ctx, subscribe.Options{URL: "nats://nats:4222", Consumer: "shop", SeedFile: "shop.nk", DB: db})
	if err != nil {
		log.Panic(err)
	}
	defer inbox.Close()
	err = inbox.Run(ctx, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
		if e.Type == event.TypeOrderPaid {
			if _, err := tx.ExecContext(ctx, `INSERT INTO parcels (out_trade_no) VALUES ($1)`, e.Data.OutTradeNo); err != nil {
				return err
			}
		}
		// Events arrive in any order: an older one overwrites nothing.
		_, err := tx.ExecContext(ctx, `
			INSERT INTO orders (out_trade_no, state, sequence) VALUES ($1, $2, $3)
			ON CONFLICT (out_trade_no) DO UPDATE SET state = excluded.state, sequence = excluded.sequence
			WHERE orders.sequence < excluded.sequence`, e.Data.OutTradeNo, e.Data.State, e.Data.Sequence)
		return err
	})
	if err != nil {
		log.Panic(err)
	}
}

// The table as a migration of one's own, where the database user of the shop
// may make none.
func Example_table() {
	db, err := sql.Open("postgres", "postgres://owner@db/shop?sslmode=verify-full")
	if err != nil {
		log.Panic(err)
	}
	if _, err := db.ExecContext(context.Background(), subscribe.DDL); err != nil {
		log.Panic(err)
	}
}

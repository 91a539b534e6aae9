// Subscriber-go is a business system in its smallest form: it delivers each
// paid order once, however often and in whatever order the events arrive.
//
//	NATS_URL=nats://127.0.0.1:4222 NATS_PASSWORD=… go run ./examples/subscriber-go deliveries.txt
//
// Its effect is a line in a file that carries the event's id: the effect and the
// memory of it are one write. In a real shop, make them one database transaction.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/event"
)

func main() {
	if err := run(strings.Join(os.Args[1:], " "), os.Getenv("NATS_URL"), os.Getenv("NATS_PASSWORD")); err != nil {
		log.Fatal(err)
	}
}

func run(path, url, password string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("name one file to write deliveries to: %w", err)
	}
	delivered := map[string]bool{} // event ids that were acted on, also before a restart
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if id, rest, _ := strings.Cut(lines.Text(), " "); strings.HasSuffix(rest, " done") { // not a torn line
			delivered[id] = true
		}
	}
	conn, err := nats.Connect(url, nats.UserInfo("subscriber", password), nats.CustomInboxPrefix("_INBOX_subscriber"), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.NewWithAPIPrefix(conn, "fenflow.events") // the door that nats.conf opens for us
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	consumer, err := js.Consumer(ctx, "EVENT", "business") // made by fenflow; it remembers where we were
	if err != nil {
		return err
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		e, err := event.Parse(msg.Data())
		if err != nil {
			log.Print(err) // and no ack: it comes again, until somebody looks
			return
		}
		if e.Type == event.TypeOrderPaid && !delivered[e.ID] {
			line := fmt.Sprintf("\n%s deliver %s: %d fen paid by %s done", e.ID, e.Data.OutTradeNo, e.Data.AmountFen, e.Data.TransactionID)
			if _, err := file.WriteString(line); err != nil || file.Sync() != nil {
				log.Fatal("the delivery is not on disk: ", err) // no ack: the event comes again
			}
			delivered[e.ID] = true
		}
		_ = msg.Ack() // a lost ack brings the event again, and it is known by then
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	consuming.Stop()
	return nil
}

package devstack

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Report is what a demo run found. It is the JSON document of
// `devstack demo --json`; a figure without samples is null.
type Report struct {
	Orders                 int         `json:"orders"`                  // placed through the HTTP API
	Paid                   int         `json:"paid"`                    // by the stand-in's ledger
	Events                 int         `json:"events"`                  // orders whose order.paid the subscriber received
	DuplicateNotifications int         `json:"duplicate_notifications"` // deliveries of a notice already acknowledged
	DuplicateEvents        int         `json:"duplicate_events"`        // messages in EVENT whose event id was there before
	Lost                   int         `json:"lost"`                    // paid without an event
	ForgedSent             int         `json:"forged_sent"`
	ForgedAccepted         int         `json:"forged_accepted"`       // answered 2xx, or with any effect
	Queries                int         `json:"queries"`               // questions about orders that the stand-in was asked
	Refunds                int         `json:"refunds"`               // whose refund.succeeded the subscriber received
	RefundedFen            int64       `json:"refunded_fen"`          // by those events
	PlatformRefundedFen    int64       `json:"platform_refunded_fen"` // by the stand-in's ledger
	RefundsDoubled         int         `json:"refunds_doubled"`       // refunds at the platform beyond those that the shop asked for
	Anomalies              int         `json:"anomalies"`             // order.anomaly events
	Restarts               int         `json:"restarts"`              // processes that died and were started again
	AckMS                  Percentiles `json:"ack_ms"`                // notification sent to its answer
	PaidEventMS            Percentiles `json:"paid_event_ms"`         // the ledger's time of payment to receipt by the subscriber
	Seconds                *float64    `json:"seconds"`               // after start-up
	Error                  string      `json:"error,omitempty"`
}

// Percentiles are milliseconds; nil without samples.
type Percentiles struct {
	P50 *float64 `json:"p50"`
	P99 *float64 `json:"p99"`
}

// percentiles picks by nearest rank.
func percentiles(samples []float64) Percentiles {
	if len(samples) == 0 {
		return Percentiles{}
	}
	sorted := slices.Clone(samples)
	slices.Sort(sorted)
	pick := func(q float64) *float64 {
		i := min(int(q*float64(len(sorted))), len(sorted)-1)
		return new(round2(sorted[i]))
	}
	return Percentiles{P50: pick(0.50), P99: pick(0.99)}
}

func round2(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Good says whether every promise held: each order was paid and became one
// event, nothing came twice, no forgery was believed, and what the platform
// gave back is what the events say and no refund more than asked for.
func (r Report) Good() bool {
	return r.Error == "" && r.Orders == r.Paid && r.Paid == r.Events && r.DuplicateEvents == 0 && r.Lost == 0 && r.ForgedAccepted == 0 &&
		r.RefundsDoubled == 0 && r.RefundedFen == r.PlatformRefundedFen
}

func (r Report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// writeTable is the same for people.
func (r Report) writeTable(w io.Writer) {
	figure := func(f *float64) string {
		if f == nil {
			return "–"
		}
		return fmt.Sprintf("%.2f", *f)
	}
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleRounded)
	t.AppendRows([]table.Row{
		{"orders placed", r.Orders},
		{"paid, by the platform's ledger", r.Paid},
		{"order.paid events received", r.Events},
		{"duplicate notifications delivered", r.DuplicateNotifications},
		{"duplicate events", r.DuplicateEvents},
		{"lost (paid without event)", r.Lost},
		{"forgeries sent / accepted", fmt.Sprintf("%d / %d", r.ForgedSent, r.ForgedAccepted)},
		{"questions about orders", r.Queries},
		{"refund.succeeded events received", r.Refunds},
		{"refunded by events / by the ledger, fen", fmt.Sprintf("%d / %d", r.RefundedFen, r.PlatformRefundedFen)},
		{"refunds that nobody asked for", r.RefundsDoubled},
		{"anomalies", r.Anomalies},
		{"processes restarted", r.Restarts},
		{"notification → answer, ms p50 / p99", figure(r.AckMS.P50) + " / " + figure(r.AckMS.P99)},
		{"payment → event, ms p50 / p99", figure(r.PaidEventMS.P50) + " / " + figure(r.PaidEventMS.P99)},
		{"seconds", figure(r.Seconds)},
	})
	t.Render()
}

// verdict says in one line which promise was broken.
func (r Report) verdict() string {
	var broken []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			broken = append(broken, fmt.Sprintf(format, args...))
		}
	}
	add(r.Error != "", "%s", r.Error)
	add(r.Paid != r.Orders, "%d of %d orders were paid", r.Paid, r.Orders)
	add(r.Lost > 0, "%d payments are lost", r.Lost)
	add(r.Events != r.Paid, "%d events for %d payments", r.Events, r.Paid)
	add(r.DuplicateEvents > 0, "%d events came twice", r.DuplicateEvents)
	add(r.ForgedAccepted > 0, "%d forgeries were believed", r.ForgedAccepted)
	add(r.RefundsDoubled > 0, "%d refunds were made that nobody asked for", r.RefundsDoubled)
	add(r.RefundedFen != r.PlatformRefundedFen, "%d fen are refunded by the events, %d by the platform's ledger", r.RefundedFen, r.PlatformRefundedFen)
	return "the demo failed: " + strings.Join(broken, "; ")
}

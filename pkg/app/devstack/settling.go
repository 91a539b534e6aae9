package devstack

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// patience is how long a run may go without any news before it counts as lost.
// It holds several rounds of the stand-in's compressed retry schedule; where
// notifications are lost, an order may have to wait a minute for a question,
// and where calls go wrong, a minute for a lease that a dead process held.
func (o DemoOptions) patience() time.Duration {
	if o.Patience > 0 {
		return o.Patience
	}
	patience := 90 * time.Second
	if o.Drop > 0 {
		patience += time.Minute
	}
	if o.Trouble {
		patience += time.Minute
	}
	return patience
}

// news is how far a run is; when it stays the same, the run stands still.
type news struct{ placed, paid, events, refunds, followed, pending, messages int }

func (d *demo) news(ctx context.Context) news {
	n := news{
		placed: int(d.placed.Load()), paid: int(d.paid.Load()), followed: int(d.followed.Load()),
		events: d.subscriber.paidCount(), refunds: d.subscriber.refundCount(), messages: int(d.subscriber.messageCount()),
	}
	if summary, err := d.platform.deliveries(ctx); err == nil {
		n.pending = summary.Pending
	}
	return n
}

// watchStill gives a run up that has stood still for too long.
func (d *demo) watchStill(ctx context.Context, giveUp context.CancelCauseFunc) {
	last, since := d.news(ctx), time.Now()
	for rest(ctx, time.Second) == nil {
		if now := d.news(ctx); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > d.options.patience() {
			giveUp(fmt.Errorf("nothing has moved for %s: %d of %d orders are placed, %d paid, %d order.paid came, %d of %d refunds ended, %d refund.succeeded came, %d notifications wait",
				d.options.patience(), last.placed, d.options.Orders, last.paid, last.events, last.followed, len(d.asked), last.refunds, last.pending))
			return
		}
	}
}

// settle waits until the platform has delivered everything that it had to
// deliver, the subscriber has every event, and no event is left to be told.
func (d *demo) settle(ctx context.Context) error {
	for !d.complete(ctx) {
		if err := rest(ctx, pollEvery); err != nil {
			return fmt.Errorf("wait for the last events: %w", err)
		}
	}
	return d.subscriber.drained(ctx)
}

func (d *demo) complete(ctx context.Context) bool {
	if d.subscriber.paidCount() < d.options.Orders || d.subscriber.refundCount() < len(d.asked) {
		return false
	}
	summary, err := d.platform.deliveries(ctx)
	if err != nil || summary.Pending > 0 {
		return false
	}
	untold, err := d.books.untold(ctx)
	return err == nil && untold == 0
}

// count compares the platform's ledger with what the subscriber holds, and
// looks for effects that nothing at the platform explains.
func (d *demo) count(ctx context.Context) (Report, error) {
	report := Report{Orders: int(d.placed.Load())}
	ledger, err := d.platform.ledger(ctx)
	if err != nil {
		return report, err
	}
	summary, err := d.platform.deliveries(ctx)
	if err != nil {
		return report, err
	}
	calls, err := d.platform.calls(ctx)
	if err != nil {
		return report, err
	}
	got := d.subscriber.received()
	report.Paid, report.Events, report.DuplicateEvents = len(ledger.Payments), len(got.paid), got.repeated
	report.DuplicateNotifications, report.ForgedSent, report.ForgedAccepted = summary.Duplicates, summary.Forged, summary.ForgedAccepted
	report.AckMS, report.Queries, report.Anomalies = percentiles(summary.AckMs), calls["query"], got.anomalies
	report.Refunds, report.RefundedFen = len(got.refunds), got.refundedFen
	report.PlatformRefundedFen, report.RefundsDoubled = refundedBy(ledger.Refunds), doubled(d.asked, ledger.Refunds)
	var waits []float64
	for _, p := range ledger.Payments {
		receipt, ok := got.paid[p.OutTradeNo]
		if !ok {
			report.Lost++
			continue
		}
		waits = append(waits, milliseconds(receipt.at.Sub(p.PaidAt)))
		delete(got.paid, p.OutTradeNo)
	}
	// An event for an order that nobody paid: somebody's word was believed.
	report.ForgedAccepted += len(got.paid)
	report.PaidEventMS = percentiles(waits)
	strangers, err := d.books.strangers(ctx, ledger)
	report.ForgedAccepted += strangers
	return report, errors.Join(append(got.bad, err)...)
}

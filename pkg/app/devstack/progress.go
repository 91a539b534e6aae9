package devstack

import (
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// bar shows trackers on a terminal and stays silent elsewhere.
type bar struct {
	writer                     progress.Writer // nil: not a terminal
	placed, paid, events, back *progress.Tracker
}

func newProgress(w io.Writer, orders, refunds int) *bar {
	b := &bar{
		placed: &progress.Tracker{Message: "orders placed", Total: int64(orders)},
		paid:   &progress.Tracker{Message: "paid by buyers", Total: int64(orders)},
		events: &progress.Tracker{Message: "order.paid received", Total: int64(orders)},
		back:   &progress.Tracker{Message: "refund.succeeded received", Total: int64(refunds)},
	}
	if !isTerminal(w) {
		return b
	}
	b.writer = progress.NewWriter()
	b.writer.SetOutputWriter(w)
	b.writer.SetUpdateFrequency(100 * time.Millisecond)
	b.writer.SetTrackerLength(30)
	b.writer.SetAutoStop(false)
	b.writer.AppendTrackers([]*progress.Tracker{b.placed, b.paid, b.events})
	if refunds > 0 {
		b.writer.AppendTracker(b.back)
	}
	go b.writer.Render()
	return b
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (b *bar) Placed(n int)   { b.placed.SetValue(int64(n)) }
func (b *bar) Paid(n int)     { b.paid.SetValue(int64(n)) }
func (b *bar) Received(n int) { b.events.SetValue(int64(n)) }
func (b *bar) Refunded(n int) { b.back.SetValue(int64(n)) }

func (b *bar) stop() {
	if b.writer == nil {
		return
	}
	b.writer.Stop()
	for b.writer.IsRenderInProgress() {
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the library offers no channel; at most one frame
	}
}

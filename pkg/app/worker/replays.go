package worker

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// The replay lane's own speed. What is live has two handlers, batches of 500 and no
// bound; a day of the archive must not be in its way, however many replay it.
const (
	replaysPerSecond = 200 // notifications, in each worker
	replayBatch      = 50  // in one commit: it holds the rows of so many orders
)

// consumeReplays settles what operators put on the replay lane, one small batch
// after the other.
func (w *worker) consumeReplays(ctx context.Context) error {
	limit := rate.NewLimiter(replaysPerSecond, replayBatch)
	options := bus.ConsumeOptions{Subject: bus.SubjectReplay, AckWait: w.env.Config.Waits.AckWait, MaxBatch: replayBatch, Workers: 1}
	return w.parts.bus.ConsumeNotifications(ctx, options, func(ctx context.Context, batch []wechatpay.Arrival) error {
		for left := len(batch); left > 0; left -= replayBatch { // a pack of others may hold more
			if err := limit.WaitN(ctx, min(left, replayBatch)); err != nil {
				return fmt.Errorf("wait for the replay lane's turn: %w", err)
			}
		}
		return w.settle.Settle(ctx, batch)
	})
}

package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/queue"
)

// wakePause: while Redis is away each wake-up would cost its time-out, and a
// shop waits meanwhile. After one failure none is tried for so long.
const wakePause = 5 * time.Second

// openQueue makes the way to the reconcilers, which needs no Redis yet. Without
// one configured their sweeps find the work, within a second or two.
func openQueue(ctx context.Context, env boot.Env) (*queue.Client, error) {
	url := env.Config.Redis.URL.Reveal()
	if url == "" {
		env.Logger.InfoContext(ctx, "redis.url is not set: reconcilers are not woken, their sweeps find what is due")
		return nil, nil //nolint:nilnil // to go without is a choice
	}
	client, err := queue.NewClient(url)
	if err != nil {
		return nil, fmt.Errorf("make queue client: %w", err)
	}
	return client, nil
}

// waker wakes reconcilers, where it can.
type waker struct {
	queue *queue.Client // nil: nobody is woken
	log   *slog.Logger

	mu    sync.Mutex
	quiet time.Time // no wake-up is tried before this
	away  bool
}

// WakeOrder asks for a look at one order now.
func (w *waker) WakeOrder(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) {
	w.wake(ctx, queue.Task{Kind: queue.QueryOrder, MchID: mchid, Number: string(no)})
}

// WakeRefund asks for the next call about one refund now.
func (w *waker) WakeRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo) {
	w.wake(ctx, queue.Task{Kind: queue.SubmitRefund, MchID: mchid, Number: string(no)})
}

func (w *waker) wake(ctx context.Context, task queue.Task) {
	if w.queue == nil || w.resting(time.Now()) {
		return
	}
	err := w.queue.Wake(ctx, task)
	if ctx.Err() == nil {
		w.note(ctx, err, time.Now())
	}
}

func (w *waker) resting(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return now.Before(w.quiet)
}

// note tells once that Redis went away, and once that it is back.
func (w *waker) note(ctx context.Context, err error, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil && !w.away:
		w.log.WarnContext(ctx, "reconcilers are not woken; their sweeps find what is due", "error", err)
	case err == nil && w.away:
		w.log.InfoContext(ctx, "reconcilers are woken again")
	}
	w.away = err != nil
	if w.away {
		w.quiet = now.Add(wakePause)
	}
}

package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/hibiken/asynq"
)

// Handler does what a task asks for. It may be called twice for the same task,
// at the same time too. Its context ends after 24 seconds, and 5 seconds after
// the queue was told to stop. Its error is logged and counted, no more: what is
// still due must stay due in the database.
type Handler func(ctx context.Context, t Task) error

// work stands between asynq and the handler.
type work struct {
	handle  Handler
	log     *slog.Logger
	metrics metrics
	// whenStopped has f called once no handler may go on.
	whenStopped func(f func()) (forget func() bool)
	// running is read-locked by every handler; see finish.
	running sync.RWMutex
}

// ProcessTask takes one task from asynq. It returns nil whatever happened:
// asynq would archive the task for an error.
func (w *work) ProcessTask(ctx context.Context, t *asynq.Task) error {
	if !w.running.TryRLock() {
		return nil // stopped: the next sweep, here or elsewhere, does it
	}
	defer w.running.RUnlock()
	task, err := unpack(t)
	if err != nil {
		w.metrics.count(Kind(t.Type()), outcomeDropped)
		w.log.WarnContext(ctx, "a task that cannot be read is dropped", "kind", t.Type(), "error", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	defer w.whenStopped(cancel)()
	w.metrics.count(task.Kind, w.attempt(ctx, task))
	return nil
}

// attempt calls the handler once and says how it ended. A panic's value may
// hold bytes from outside, so only its type and the stack are logged.
func (w *work) attempt(ctx context.Context, t Task) (outcome string) {
	defer func() {
		if p := recover(); p != nil {
			outcome = outcomePanicked
			w.log.ErrorContext(ctx, "panic in a task; what is due stays due", "kind", t.Kind, "mchid", t.MchID, "number", t.Number,
				"type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		}
	}()
	if err := w.handle(ctx, t); err != nil {
		w.log.WarnContext(ctx, "task failed; what is due stays due", "kind", t.Kind, "mchid", t.MchID, "number", t.Number, "error", err)
		return outcomeFailed
	}
	return outcomeDone
}

// finish waits for the handlers that run and lets no other begin: the lock is
// never given back.
func (w *work) finish() { w.running.Lock() }

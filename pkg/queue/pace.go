package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// errorPause follows each command that failed. asynq asks again at once, so a
// Redis that answers with an error (out of memory, no disk, no permission)
// would be asked thousands of times a second.
const errorPause = 100 * time.Millisecond

// pacer watches every command to Redis: it slows down what fails, and knows
// when Redis could not be reached.
type pacer struct {
	away *atomic.Bool
	over <-chan struct{} // closed when haste is wanted
}

// ProcessHook waits after a failed command.
func (p pacer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil || isOrdinary(err) {
			return err
		}
		if ctx.Err() == nil && !isReply(err) {
			p.away.Store(true)
		}
		p.pause(ctx)
		return err
	}
}

// isOrdinary: an empty queue, and a script that Redis does not have yet.
func isOrdinary(err error) bool {
	return errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOSCRIPT")
}

// isReply: Redis was there to say no.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

func (p pacer) pause(ctx context.Context) {
	timer := time.NewTimer(errorPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-p.over:
	}
}

// DialHook changes nothing.
func (pacer) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook changes nothing.
func (pacer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

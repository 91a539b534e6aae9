package queue

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// repeatAfter: what asynq complains about it complains about with each
	// task and each beat. One line a minute and complaint is enough.
	repeatAfter = time.Minute
	// maxShapes bounds the memory for that. asynq has about twenty complaints.
	maxShapes = 64
)

// asynqLog hands asynq's lines to our log at the level that asynq means.
// Complaints while Redis is away go to debug: the watch tells of that, once.
type asynqLog struct {
	log  *slog.Logger
	away *atomic.Bool
	now  func() time.Time

	mu     sync.Mutex
	shapes map[string]*shape
}

// shape is a complaint without its particulars.
type shape struct {
	said      time.Time
	swallowed int // since then
}

func newAsynqLog(log *slog.Logger, away *atomic.Bool) *asynqLog {
	return &asynqLog{log: log, away: away, now: time.Now, shapes: map[string]*shape{}}
}

// Debug hands on a line.
func (l *asynqLog) Debug(args ...any) { l.write(slog.LevelDebug, args) }

// Info hands on a line.
func (l *asynqLog) Info(args ...any) { l.write(slog.LevelInfo, args) }

// Warn hands on a line.
func (l *asynqLog) Warn(args ...any) { l.write(slog.LevelWarn, args) }

// Error hands on a line.
func (l *asynqLog) Error(args ...any) { l.write(slog.LevelError, args) }

// Fatal hands on a line. It does not end the process: that is not for a timer
// to decide.
func (l *asynqLog) Fatal(args ...any) { l.write(slog.LevelError, args) }

func (l *asynqLog) write(level slog.Level, args []any) {
	text := fmt.Sprint(args...)
	attrs := []slog.Attr{slog.String("line", text)}
	if level >= slog.LevelWarn && (l.away.Load() || isHarmless(text)) {
		level = slog.LevelDebug
	}
	if level >= slog.LevelWarn {
		swallowed, fresh := l.condense(text)
		if !fresh {
			return
		}
		if swallowed > 0 {
			attrs = append(attrs, slog.Int("swallowed", swallowed))
		}
	}
	l.log.LogAttrs(context.Background(), level, "asynq says", attrs...)
}

// isHarmless: the scheduler wants to close a connection that is not its own.
func isHarmless(text string) bool {
	return strings.Contains(text, "redis connection is shared")
}

// condense says whether the complaint is to be heard, and how many like it were
// not since the last one that was.
func (l *asynqLog) condense(text string) (swallowed int, fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.shapes) > maxShapes {
		clear(l.shapes)
	}
	name, now := shapeOf(text), l.now()
	s, known := l.shapes[name]
	if known && now.Sub(s.said) < repeatAfter {
		s.swallowed++
		return 0, false
	}
	if known {
		swallowed = s.swallowed
	}
	l.shapes[name] = &shape{said: now}
	return swallowed, true
}

// shapeOf cuts a line where its particulars begin: ids, lists, causes.
func shapeOf(text string) string {
	if i := strings.IndexAny(text, `:=["`); i > 0 {
		return text[:i]
	}
	return text
}

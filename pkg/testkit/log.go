package testkit

import (
	"sync"
	"testing"
)

// testLog is a writer over a test's log. A server may have a last word after
// the test is over, which testing would answer with a panic: it is dropped.
type testLog struct {
	mu   sync.Mutex
	tb   testing.TB
	over bool
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.tb.Log(trimmed(p))
	}
	return len(p), nil
}

func (l *testLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

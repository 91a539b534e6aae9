package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operator"
	problems "github.com/fenflow/fenflow/pkg/problem"
)

// answering is a worker that answers each subject with a document, a problem or an
// error of the way to it, and remembers what it was asked last. (The real services
// answer where what they do to the books is at stake.)
type answering struct {
	answers map[string]any // by subject; what is not here nobody serves
	away    error          // for every subject

	mu      sync.Mutex
	asked   map[string]string // by subject
	timeout time.Duration     // of the last question
}

func (w *answering) Request(_ context.Context, subject string, data []byte, timeout time.Duration) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked == nil {
		w.asked = map[string]string{}
	}
	w.asked[subject], w.timeout = string(data), timeout
	if w.away != nil {
		return nil, w.away
	}
	switch found := w.answers[subject].(type) {
	case nil:
		return nil, errors.New("nobody serves " + subject)
	case *problems.Error:
		return problems.WriteRefusal(found)
	case error:
		return nil, found
	default:
		return problems.WriteAnswer(http.StatusOK, found)
	}
}

// question is what the worker was asked last.
func (w *answering) question(t *testing.T, subject string, into any) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NoError(t, json.Unmarshal([]byte(w.asked[subject]), into), w.asked[subject])
}

// wasAsked holds the fields of what the worker was asked last against others.
func (w *answering) wasAsked(t *testing.T, subject string, want map[string]any, why ...any) {
	t.Helper()
	var asked map[string]any
	w.question(t, subject, &asked)
	require.Equal(t, want, asked, why...)
}

func withAnswers(t *testing.T) (*stage, *answering) {
	t.Helper()
	w := &answering{answers: map[string]any{}}
	return setup(t, func(o *operator.Options) { o.Worker = w }), w
}

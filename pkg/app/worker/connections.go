package worker

import (
	"context"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/problem"
)

// connectionsAnswer is who is connected to NATS, for the console, which cannot
// see it. Incomplete says what could not be read.
type connectionsAnswer struct {
	Connections []connectionDocument `json:"connections"`
	Incomplete  string               `json:"incomplete,omitempty"`
}

type connectionDocument struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
}

// connections answers the console. A monitoring port that is away is no refusal:
// the others tell what they know.
func (w *worker) connections(ctx context.Context, _ []byte) ([]byte, error) {
	answer := connectionsAnswer{Connections: []connectionDocument{}}
	found, err := bus.Connections(ctx, w.env.Config.NATS.MonitorURLs)
	if err != nil {
		answer.Incomplete = err.Error()
	}
	for _, c := range found {
		answer.Connections = append(answer.Connections, connectionDocument{c.Name, c.Since})
	}
	return problem.WriteAnswer(http.StatusOK, answer)
}

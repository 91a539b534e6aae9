package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxConnections is more than a server of fenflow's holds; what is beyond is
// said to be missing.
const maxConnections = 4096

// Connections lists fenflow's connections to the servers behind the monitoring
// ports, by the names that clients give themselves. What could be read comes
// back with an error that says what could not.
func Connections(ctx context.Context, monitorURLs []string) ([]pay.Presence, error) {
	if len(monitorURLs) == 0 {
		return nil, errors.New("nats.monitor_urls is empty: list the monitoring port of every NATS server")
	}
	var all []pay.Presence
	var problems []error
	for _, url := range monitorURLs {
		var listed struct {
			Total       int `json:"total"`
			Connections []struct {
				Name  string    `json:"name"`
				Start time.Time `json:"start"`
			} `json:"connections"`
		}
		if err := readMonitor(ctx, url, fmt.Sprintf("/connz?limit=%d", maxConnections), &listed); err != nil {
			problems = append(problems, fmt.Errorf("monitoring port %s: %w", url, err))
			continue
		}
		if listed.Total > len(listed.Connections) {
			problems = append(problems, fmt.Errorf("monitoring port %s: %d connections, and %d were read", url, listed.Total, len(listed.Connections)))
		}
		for _, c := range listed.Connections {
			if _, _, _, ours := pay.ParseConnectionName(c.Name); ours {
				all = append(all, pay.Presence{Name: c.Name, Since: c.Start.UTC()})
			}
		}
	}
	return all, errors.Join(problems...)
}

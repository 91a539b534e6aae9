package bus

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestConnections_lists_ours_by_name_and_says_what_it_could_not_read(t *testing.T) {
	t.Parallel()
	n := broker(t)
	connect(t, n, "notify", func(c *Config) { c.Name = pay.ConnectionName("notify", "aaaaaa", "v1") })
	connect(t, n, "worker")
	raw(t, n, "subscriber", nil) // of a business system, which has no name of ours
	found, err := Connections(t.Context(), []string{n.MonitorURL()})
	require.NoError(t, err)
	var names []string
	for _, c := range found {
		names = append(names, c.Name)
		require.False(t, c.Since.IsZero())
	}
	require.ElementsMatch(t, []string{"fenflow-notify/aaaaaa/v1", "fenflow-worker"}, names)

	found, err = Connections(t.Context(), []string{"http://127.0.0.1:1", n.MonitorURL()})
	require.ErrorContains(t, err, "monitoring port http://127.0.0.1:1")
	require.Len(t, found, 2, "the others tell what they know")
	_, err = Connections(t.Context(), nil)
	require.ErrorContains(t, err, "nats.monitor_urls is empty")
}

package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/telemetry"
)

func TestLogger_writes_one_JSON_line_in_UTC_above_its_level(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger, err := telemetry.NewLogger(&out, telemetry.LogOptions{Level: "warn"})
	require.NoError(t, err)
	logger.Info("quiet")
	logger.Warn("loud", "error", errors.New("boom"), "secret", merchant.Secret("hunter2"), "url", fmt.Sprint(merchant.Secret("hunter2")))
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line), "one line and no more")
	require.Equal(t, "loud", line["msg"])
	require.Equal(t, "boom", line["error"])
	require.Regexp(t, `Z$`, line["time"])
	require.NotContains(t, out.String(), "hunter2")
}

func TestLogger_writes_text_when_asked(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger, err := telemetry.NewLogger(&out, telemetry.LogOptions{Format: "text", Level: "debug"})
	require.NoError(t, err)
	logger.Debug("hello", "order", "T0000001")
	require.Contains(t, out.String(), "msg=hello order=T0000001")
}

func TestLogger_refuses_what_it_does_not_know(t *testing.T) {
	t.Parallel()
	_, err := telemetry.NewLogger(&bytes.Buffer{}, telemetry.LogOptions{Level: "loud"})
	require.ErrorContains(t, err, "debug, info, warn or error")
	_, err = telemetry.NewLogger(&bytes.Buffer{}, telemetry.LogOptions{Format: "xml"})
	require.ErrorContains(t, err, "json or text")
}

func TestMetrics_follow_one_pattern_and_live_on_their_registry(t *testing.T) {
	t.Parallel()
	r := telemetry.NewRegistry("worker", "v1")
	telemetry.Counter(r, "notifications", "Notifications by outcome.", "outcome").WithLabelValues("accepted").Add(2)
	telemetry.Gauge(r, "outbox_oldest", "seconds", "Age of the oldest event.").WithLabelValues().Set(1.5)
	telemetry.Seconds(r, "settle", "Time of one batch.").WithLabelValues().Observe(0.02)
	families, err := r.Gather()
	require.NoError(t, err)
	var names []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), telemetry.Namespace) {
			names = append(names, f.GetName())
		}
	}
	require.Equal(t, []string{"fenflow_build_info", "fenflow_notifications_total", "fenflow_outbox_oldest_seconds", "fenflow_settle_seconds"}, names)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	telemetry.Counter(telemetry.NewRegistry("worker", "v1"), "notifications", "A second registry shares nothing.")
}

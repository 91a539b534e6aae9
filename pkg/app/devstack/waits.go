package devstack

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/config"
)

// wait is one of fenflow's waits of refunds, as configured and as divided.
type wait struct {
	key              string
	official, actual time.Duration
}

// refundWaits divides every wait of refunds in a configuration. The cadence of
// orders is none of them: a demo asks about orders as production does.
func refundWaits(w config.Waits, by float64) []wait {
	waits := []wait{
		{key: "refund_gap", official: w.RefundGap},
		{key: "refund_poll", official: w.RefundPoll},
		{key: "frequency_limited", official: w.FrequencyLimited},
		{key: "refund_backoff", official: w.RefundBackoff},
		{key: "not_enough", official: w.NotEnough},
		{key: "unknown_quarantine", official: w.UnknownQuarantine},
	}
	for i := range waits {
		waits[i].actual = time.Duration(float64(waits[i].official) / by).Round(time.Millisecond)
	}
	return waits
}

func (w wait) variable() string {
	return "FENFLOW_WAITS_" + strings.ToUpper(w.key) + "=" + w.actual.String()
}

// hasten divides the roles' waits of refunds, if that was asked for, and says so.
func (s *Stack) hasten(context.Context) error {
	if s.options.RefundSpeed <= 0 || s.options.RefundSpeed == 1 {
		return nil
	}
	c, err := config.Load(config.Options{File: s.options.path("merchant", "fenflow.yaml")})
	if err != nil {
		return fmt.Errorf("read the waits of the configuration: %w", err)
	}
	waits := refundWaits(c.Waits, s.options.RefundSpeed)
	told := make([]string, 0, len(waits))
	for _, w := range waits {
		s.waits = append(s.waits, w.variable())
		told = append(told, fmt.Sprintf("%s %v instead of %v", w.key, w.actual, w.official))
	}
	s.say("waits of refunds are divided by %g for fenflow (%s) and by %g for the stand-in; orders are asked about as often as in production",
		s.options.RefundSpeed, strings.Join(told, ", "), s.options.Speed)
	return nil
}

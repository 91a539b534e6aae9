package devstack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// troubles are what --trouble asks of the stand-in: they happen to every kind
// of call to WeChat Pay, each to so many in a hundred. A call without an answer
// costs fenflow ten seconds, so there are fewer of those.
func troubles() []simulator.Fault {
	return []simulator.Fault{
		{Kind: simulator.FaultErrorBefore, Probability: 0.05},
		{Kind: simulator.FaultErrorAfter, Probability: 0.05},
		{Kind: simulator.FaultFrequencyLimited, Probability: 0.03},
		{Kind: simulator.FaultFrequencyLimitedAfter, Probability: 0.03},
		{Kind: simulator.FaultTimeoutBefore, Probability: 0.015},
		{Kind: simulator.FaultTimeoutAfter, Probability: 0.015},
		{Kind: simulator.FaultAnswerSigntest, Probability: 0.02},
	}
}

// slowRefunds let refunds stay in PROCESSING, some longer than others: across
// several questions about them.
func slowRefunds() []simulator.Fault {
	return []simulator.Fault{
		{Kind: simulator.FaultRefundSlow, Probability: 0.3, DelayMs: 4000},
		{Kind: simulator.FaultRefundSlow, Probability: 0.5, DelayMs: 1500},
	}
}

// faults are all that a run wants of the stand-in.
func (o DemoOptions) faults() []simulator.Fault {
	var all []simulator.Fault
	if o.Drop > 0 {
		all = append(all, simulator.Fault{Kind: simulator.FaultNoticeLost, Probability: float64(o.Drop) / 100})
	}
	if o.Refunds > 0 {
		all = append(all, slowRefunds()...)
	}
	if o.Trouble {
		all = append(all, troubles()...)
	}
	return all
}

func (p *platform) setFault(ctx context.Context, f simulator.Fault) error {
	body, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write fault: %w", err)
	}
	status, answer, err := p.call(ctx, http.MethodPost, "/control/faults", body)
	if err != nil {
		return fmt.Errorf("set fault %s: %w", f.Kind, err)
	}
	if status != http.StatusCreated {
		return fmt.Errorf("set fault %s: answer %d: %s", f.Kind, status, answer)
	}
	return nil
}

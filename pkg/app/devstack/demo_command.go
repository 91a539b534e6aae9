package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func demoCommand(stdout, stderr io.Writer, exit *int) *cobra.Command {
	o := DemoOptions{}
	asJSON := false
	cmd := &cobra.Command{
		Use: "demo", Short: "Place, pay, refund and settle orders on a throw-away stack, and count", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var report Report
			if o.Drop > 0 && !cmd.Flags().Changed("pay-within") {
				o.PayWithin = payWithinOfDrop
			}
			err := o.check()
			if err == nil {
				*exit = 1
				report, err = demoRun(cmd.Context(), o, stderr)
				report.writeTable(stderr)
			}
			if err != nil {
				report.Error = err.Error()
			}
			if asJSON {
				if err := report.writeJSON(stdout); err != nil {
					return err
				}
			}
			if !report.Good() {
				return errors.New(report.verdict())
			}
			*exit = 0
			return nil
		},
	}
	cmd.Flags().IntVar(&o.Orders, "orders", 1000, "orders to place and pay")
	cmd.Flags().IntVar(&o.Duplicates, "duplicates", 2, "extra deliveries of each notification of a payment")
	cmd.Flags().IntVar(&o.Forged, "forged", 100, "forged notifications in the whole run")
	cmd.Flags().IntVar(&o.Drop, "drop", 0, "percent of all notifications that never arrive, however often they are repeated")
	cmd.Flags().IntVar(&o.Refunds, "refunds", 0, "percent of the orders that are refunded, in one to three parts")
	cmd.Flags().BoolVar(&o.Trouble, "trouble", false, "the stand-in answers every call with 5xx, silence, 429 and probes now and then, before and after it took effect")
	cmd.Flags().DurationVar(&o.PayWithin, "pay-within", 3*time.Second, "payments are spread at random over this time after their prepay; 45s with --drop")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document on stdout and nothing else")
	return cmd
}

// payWithinOfDrop is longer than the cadence of questions about open orders
// (10 s), so that they are paid anywhere between two questions.
const payWithinOfDrop = 45 * time.Second

func (o DemoOptions) check() error {
	switch {
	case o.Orders < 1:
		return fmt.Errorf("--orders is %d: place at least one", o.Orders)
	case o.Duplicates < 0, o.Forged < 0, o.PayWithin < 0:
		return errors.New("--duplicates, --forged and --pay-within cannot be negative")
	case o.Drop < 0, o.Drop > 100, o.Refunds < 0, o.Refunds > 100:
		return errors.New("--drop and --refunds are percentages: 0 to 100")
	}
	return nil
}

// demoRun runs a demo on a stack of its own that leaves nothing behind.
func demoRun(ctx context.Context, o DemoOptions, stderr io.Writer) (Report, error) {
	dir, err := os.MkdirTemp("", "fenflow-demo-")
	if err != nil {
		return Report{}, fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover is the system's to clean
	s, err := Start(ctx, o.stack(dir, stderr))
	if err != nil {
		return Report{}, fmt.Errorf("start the stack: %w", err)
	}
	defer s.Stop()
	bar := newProgress(stderr, o.Orders, len(planRefunds("", o)))
	o.Progress = bar
	report, err := RunDemo(ctx, s, o)
	bar.stop()
	if err != nil || !report.Good() {
		s.keepLogs(dir)
	}
	return report, err
}

// demoSpeed makes the platform's first retry come after a quarter of a second
// instead of 15, and parts of a refund a second apart instead of a minute, so
// that a run stays short. The cadence of questions about orders stays.
const demoSpeed = 60

// stack is what a demo runs on. With refunds the stand-in holds fenflow to
// WeChat Pay's rates and to the pause between two refunds of one order.
func (o DemoOptions) stack(dir string, log io.Writer) Options {
	return Options{Dir: dir, FreePort: true, Speed: demoSpeed, RefundSpeed: demoSpeed, Limits: o.Refunds > 0, Log: log}
}

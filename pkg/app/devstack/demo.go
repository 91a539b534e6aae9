package devstack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// DemoOptions say what a demo run does.
type DemoOptions struct {
	Orders     int           // orders to place and pay
	Duplicates int           // extra deliveries of each notification
	Forged     int           // forgeries in the whole run
	PayWithin  time.Duration // payments are spread at random over this time after their prepay
	Patience   time.Duration // how long to wait for the last event
	Progress   Progress
}

// Progress hears how far a run is.
type Progress interface {
	Placed(n int)
	Paid(n int)
	Received(n int)
}

// Shops place many orders at once; this many connections keep the roles busy
// without drowning two cores.
const (
	shopConnections = 24
	pollEvery       = 100 * time.Millisecond
)

// demo is one run against a stack.
type demo struct {
	options    DemoOptions
	shop       *shop
	platform   *platform
	subscriber *subscriber
	appID      string

	mu      sync.Mutex
	placed  int
	paid    int
	numbers []string
}

// RunDemo places orders through the HTTP API, pays them at the platform and
// compares the platform's ledger with what a subscriber received.
func RunDemo(ctx context.Context, s *Stack, o DemoOptions) (Report, error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * shopConnections}}
	sub, err := subscribe(ctx, s.NATSURL(), "subscriber", s.passwords["subscriber"])
	if err != nil {
		return Report{}, err
	}
	defer sub.close()
	d := &demo{
		options: o, appID: s.merchant.Appid, subscriber: sub,
		shop:     &shop{api: s.APIURL(), key: s.merchant.APIKey, client: client},
		platform: &platform{base: s.SimulatorURL(), client: client},
	}
	began := time.Now()
	watched := d.watch(ctx)
	runErr := d.run(ctx)
	watched()
	report, countErr := d.count(context.WithoutCancel(ctx))
	report.Seconds = new(round2(time.Since(began).Seconds()))
	report.Restarts = s.Restarts()
	if err := errors.Join(runErr, countErr, s.unknownEffects(ctx, d, &report)); err != nil {
		report.Error = err.Error()
	}
	return report, nil
}

// watch reports what the subscriber has, until the returned function is called.
func (d *demo) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-d.subscriber.changed:
			case <-tick.C:
			}
			d.options.Progress.Received(d.subscriber.paidCount())
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

func (d *demo) run(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(shopConnections)
	var buyers errgroup.Group
	for i := range d.options.Orders {
		group.Go(func() error {
			no, err := d.place(groupCtx, i)
			if err != nil {
				return err
			}
			buyers.Go(func() error { return d.buy(ctx, no, i) })
			return nil
		})
	}
	if err := errors.Join(group.Wait(), buyers.Wait()); err != nil {
		return fmt.Errorf("place and pay: %w", err)
	}
	return d.settle(ctx)
}

// place puts order i, alternating between the kinds of client.
func (d *demo) place(ctx context.Context, i int) (string, error) {
	o := newOrder{
		OutTradeNo: fmt.Sprintf("D%d-%06d", time.Now().Unix(), i), AppID: d.appID,
		Description: "One pot of tea", AmountFen: int64(1 + i%100), Currency: "CNY",
	}
	switch i % 3 {
	case 0:
		o.Client, o.OpenID = "jsapi", fmt.Sprintf("oDemoBuyer%06d", i)
	case 1:
		o.Client, o.OpenID = "mini_program", fmt.Sprintf("oDemoBuyer%06d", i)
	default:
		o.Client = "native"
	}
	answer, err := d.shop.place(ctx, o)
	if err != nil {
		return "", err
	}
	if answer.State == "awaiting_payment" && len(answer.Pay) <= len("{}") {
		return "", fmt.Errorf("order %s came without the parameters to pay with", o.OutTradeNo)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.placed++
	d.numbers = append(d.numbers, o.OutTradeNo)
	d.options.Progress.Placed(d.placed)
	return o.OutTradeNo, nil
}

// buy pays after a moment's thought, as people do.
func (d *demo) buy(ctx context.Context, outTradeNo string, i int) error {
	thought := time.NewTimer(rand.N(max(d.options.PayWithin, 1)))
	defer thought.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-thought.C:
	}
	if err := d.platform.pay(ctx, outTradeNo, d.options.Duplicates, d.forgeries(i)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paid++
	d.options.Progress.Paid(d.paid)
	return nil
}

// forgeries spreads the run's forgeries evenly over its orders.
func (d *demo) forgeries(i int) int {
	n, f := d.options.Orders, d.options.Forged
	return (i+1)*f/n - i*f/n
}

// settle waits until the platform has delivered everything it had to deliver
// and the subscriber has every order.
func (d *demo) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.options.Patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		got := d.subscriber.paidCount()
		if got >= d.options.Orders && d.delivered(ctx) {
			return d.subscriber.drained(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %d events, %d came", d.options.Patience, d.options.Orders, got)
		case <-tick.C:
		}
	}
}

// delivered says whether no notification is left to be sent.
func (d *demo) delivered(ctx context.Context) bool {
	summary, err := d.platform.deliveries(ctx)
	return err == nil && summary.Pending == 0
}

// count compares the platform's ledger with what the subscriber holds.
func (d *demo) count(ctx context.Context) (Report, error) {
	ledger, err := d.platform.ledger(ctx)
	if err != nil {
		return Report{Orders: d.placed}, err
	}
	summary, err := d.platform.deliveries(ctx)
	if err != nil {
		return Report{Orders: d.placed}, err
	}
	receipts, repeated, bad := d.subscriber.receipts()
	report := Report{
		Orders: d.placed, Paid: len(ledger.Payments), Events: len(receipts), DuplicateEvents: repeated,
		DuplicateNotifications: summary.Duplicates, ForgedSent: summary.Forged, ForgedAccepted: summary.ForgedAccepted,
		AckMS: percentiles(summary.AckMs),
	}
	var waits []float64
	for _, p := range ledger.Payments {
		received, ok := receipts[p.OutTradeNo]
		if !ok {
			report.Lost++
			continue
		}
		waits = append(waits, milliseconds(received.Sub(p.PaidAt)))
		delete(receipts, p.OutTradeNo)
	}
	// An event for an order that nobody paid: somebody's word was believed.
	report.ForgedAccepted += len(receipts)
	report.PaidEventMS = percentiles(waits)
	return report, errors.Join(bad...)
}

package devstack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// DemoOptions say what a demo run does.
type DemoOptions struct {
	Orders     int           // orders to place and pay
	Duplicates int           // extra deliveries of each notification
	Forged     int           // forgeries in the whole run
	Drop       int           // percent of the notifications that never arrive
	Refunds    int           // percent of the orders that are refunded
	Trouble    bool          // every call to the platform may go wrong
	PayWithin  time.Duration // payments are spread at random over this time after their prepay
	Patience   time.Duration // how long a run may stand still; 0: by what it does
	Progress   Progress
}

// Progress hears how far a run is.
type Progress interface {
	Placed(n int)
	Paid(n int)
	Received(n int) // order.paid
	Refunded(n int) // refund.succeeded
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
	books      *books
	appID      string

	run      string                  // begins every number
	asked    []refundPart            // every refund that the shop asks for
	parts    map[string][]refundPart // the same by order
	placed   atomic.Int64
	paid     atomic.Int64
	followed atomic.Int64 // refunds of which the shop saw the end
}

// RunDemo places orders through the HTTP API, pays them at the platform, gives
// some of them back, and compares the platform's ledger with what a subscriber
// received.
func RunDemo(ctx context.Context, s *Stack, o DemoOptions) (Report, error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * shopConnections, MaxConnsPerHost: 4 * shopConnections}}
	sub, err := subscribe(ctx, s.NATSURL(), "subscriber", s.passwords["subscriber"])
	if err != nil {
		return Report{}, err
	}
	defer sub.close()
	books, err := openBooks(s)
	if err != nil {
		return Report{}, err
	}
	defer books.close()
	d := &demo{
		options: o, appID: s.merchant.Appid, subscriber: sub, books: books,
		shop:     &shop{api: s.APIURL(), key: s.merchant.APIKey, client: client},
		platform: &platform{base: s.SimulatorURL(), client: client},
		run:      strconv.FormatInt(time.Now().Unix(), 10), parts: map[string][]refundPart{},
	}
	d.asked = planRefunds(d.run, o)
	for _, p := range d.asked {
		d.parts[p.OutTradeNo] = append(d.parts[p.OutTradeNo], p)
	}
	return d.report(ctx, s), nil
}

// report is the run with its count; what went wrong is in it.
func (d *demo) report(ctx context.Context, s *Stack) Report {
	began := time.Now()
	watched := d.watch(ctx)
	runErr := d.play(ctx)
	watched()
	report, countErr := d.count(context.WithoutCancel(ctx))
	report.Seconds = new(round2(time.Since(began).Seconds()))
	report.Restarts = s.Restarts()
	if err := errors.Join(runErr, countErr); err != nil {
		report.Error = err.Error()
	}
	return report
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
			d.options.Progress.Refunded(d.subscriber.refundCount())
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// play lets every order run its course:
//
//  1. the stand-in is told how to misbehave;
//  2. the shop places the orders, a buyer pays each, and some are given back;
//  3. the run ends when every order and refund is final and told of,
//     or when it has stood still for too long.
func (d *demo) play(ctx context.Context) error {
	for _, f := range d.options.faults() {
		if err := d.platform.setFault(ctx, f); err != nil {
			return err
		}
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go d.watchStill(ctx, giveUp)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(shopConnections)
	var buyers errgroup.Group
	for i := range d.options.Orders {
		group.Go(func() error {
			no, err := d.place(groupCtx, i)
			if err != nil {
				return err
			}
			buyers.Go(func() error {
				if err := d.buy(ctx, no, i); err != nil {
					return err
				}
				return d.refundAll(ctx, no)
			})
			return nil
		})
	}
	if err := errors.Join(group.Wait(), buyers.Wait()); err != nil {
		return fmt.Errorf("place, pay and refund: %w", err)
	}
	return d.settle(ctx)
}

func orderNumber(run string, i int) string { return fmt.Sprintf("D%s-%06d", run, i) }

// amountOf is enough for three parts.
func amountOf(i int) int64 { return int64(100 + i%900) }

// place puts order i, alternating between the kinds of client.
func (d *demo) place(ctx context.Context, i int) (string, error) {
	o := newOrder{
		OutTradeNo: orderNumber(d.run, i), AppID: d.appID,
		Description: "One pot of tea", AmountFen: amountOf(i), Currency: "CNY",
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
	d.options.Progress.Placed(int(d.placed.Add(1)))
	return o.OutTradeNo, nil
}

// buy pays after a moment's thought, as people do.
func (d *demo) buy(ctx context.Context, outTradeNo string, i int) error {
	if err := rest(ctx, rand.N(max(d.options.PayWithin, 1))); err != nil {
		return err
	}
	forged := share(i, d.options.Forged, d.options.Orders)
	if err := d.platform.pay(ctx, outTradeNo, d.options.Duplicates, forged); err != nil {
		return err
	}
	d.options.Progress.Paid(int(d.paid.Add(1)))
	return nil
}

package reconcile

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// placed is when every order of these tests was made.
func placed() time.Time { return time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC) }

// orderOf is an open order that lives for two hours and is no probe.
func orderOf(change ...func(*pay.Order)) pay.Order {
	o := pay.Order{
		MchID: "1900000109", OutTradeNo: "T00000001", AppID: "wx8888888888888888", State: pay.OrderAwaitingPayment,
		CreatedAt: placed(), ExpiresAt: placed().Add(2 * time.Hour),
	}
	for probe(o) {
		o.OutTradeNo += "x"
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func TestNext_is_the_rhythm_of_the_gear_and_of_expiry(t *testing.T) {
	t.Parallel()
	requested := func(o *pay.Order) { o.CloseRequestedAt = placed() }
	closedOnce := func(o *pay.Order) { o.CloseCount = 1 }
	closedOften := func(o *pay.Order) { o.CloseCount = 20 }
	short := func(o *pay.Order) { o.ExpiresAt = placed().Add(2 * time.Minute) }
	failed := func(o *pay.Order) { o.State = pay.OrderFailed }
	for name, row := range map[string]struct {
		change func(*pay.Order)
		gear   pay.Gear
		age    time.Duration // of the order at the answer
		api    pay.API
		after  time.Duration // from the answer
	}{
		"tight and young":                            {nil, pay.GearTight, 14*time.Minute + 59*time.Second, pay.APIOrderQuery, 10 * time.Second},
		"tight and old":                              {nil, pay.GearTight, 15 * time.Minute, pay.APIOrderQuery, time.Minute},
		"tight and about to expire":                  {nil, pay.GearTight, 2*time.Hour - 3*time.Second, pay.APIOrderQuery, 3 * time.Second},
		"no gear yet is tight":                       {nil, "", time.Minute, pay.APIOrderQuery, 10 * time.Second},
		"relaxed, first":                             {nil, pay.GearRelaxed, 10 * time.Second, pay.APIOrderQuery, 50 * time.Second},
		"relaxed, second":                            {nil, pay.GearRelaxed, time.Minute, pay.APIOrderQuery, 2 * time.Minute},
		"relaxed, third":                             {nil, pay.GearRelaxed, 3 * time.Minute, pay.APIOrderQuery, 2 * time.Minute},
		"relaxed, fourth":                            {nil, pay.GearRelaxed, 5 * time.Minute, pay.APIOrderQuery, 5 * time.Minute},
		"relaxed, fifth":                             {nil, pay.GearRelaxed, 10 * time.Minute, pay.APIOrderQuery, 20 * time.Minute},
		"relaxed, then at expiry":                    {nil, pay.GearRelaxed, 30 * time.Minute, pay.APIOrderQuery, 90 * time.Minute},
		"relaxed never looks past expiry":            {short, pay.GearRelaxed, 90 * time.Second, pay.APIOrderQuery, 30 * time.Second},
		"expired":                                    {nil, pay.GearRelaxed, 2 * time.Hour, pay.APIOrderClose, 0},
		"expired before it may be closed":            {short, pay.GearTight, 3 * time.Minute, pay.APIOrderClose, 2 * time.Minute},
		"a shop's wish to close waits for nothing":   {requested, pay.GearTight, time.Minute, pay.APIOrderClose, 0},
		"closed once and still open":                 {closedOnce, pay.GearTight, 2 * time.Hour, pay.APIOrderClose, time.Minute},
		"closed often and still open":                {closedOften, pay.GearTight, 4 * time.Hour, pay.APIOrderClose, time.Hour},
		"failed, asked soon after":                   {failed, pay.GearTight, 6 * time.Minute, pay.APIOrderQuery, 2*time.Hour + time.Minute - 6*time.Minute},
		"failed, asked when nobody can pay any more": {failed, pay.GearTight, 2*time.Hour + time.Minute, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := orderOf()
			if row.change != nil {
				row.change(&o)
			}
			now := placed().Add(row.age)
			got := next(o, row.gear, now)
			require.Equal(t, row.api, got.api)
			if row.api == "" {
				require.Zero(t, got.at)
				return
			}
			require.Equal(t, row.after, got.at.Sub(now))
		})
	}
}

func TestNext_doubles_the_wait_between_closes_up_to_an_hour(t *testing.T) {
	t.Parallel()
	var waits []time.Duration
	now := placed().Add(3 * time.Hour)
	for count := 1; count <= 8; count++ {
		o := orderOf(func(o *pay.Order) { o.CloseCount = count })
		waits = append(waits, next(o, pay.GearTight, now).at.Sub(now))
	}
	m := time.Minute
	require.Equal(t, []time.Duration{m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, time.Hour, time.Hour}, waits)
}

func TestProbe_one_order_in_fifty_stays_tight(t *testing.T) {
	t.Parallel()
	probes := 0
	for i := range 20_000 {
		if probe(pay.Order{MchID: "1900000109", OutTradeNo: pay.OutTradeNo(fmt.Sprintf("T%08d", i))}) {
			probes++
		}
	}
	require.InDelta(t, 400, probes, 80)
	o := orderOf()
	for !probe(o) {
		o.OutTradeNo += "y"
	}
	now := placed().Add(20 * time.Second)
	require.Equal(t, 10*time.Second, next(o, pay.GearRelaxed, now).at.Sub(now))
}

func TestTooEarly_spares_what_only_the_tight_gear_made_due(t *testing.T) {
	t.Parallel()
	asked := func(age time.Duration) func(*pay.Order) {
		return func(o *pay.Order) { o.CheckedAt = placed().Add(age) }
	}
	for name, row := range map[string]struct {
		change func(*pay.Order)
		gear   pay.Gear
		age    time.Duration
		want   time.Duration // age at the next look; 0: a call is due now
	}{
		"a new order in the relaxed gear": {nil, pay.GearRelaxed, 11 * time.Second, time.Minute},
		"asked before, in the tight gear": {asked(5 * time.Minute), pay.GearRelaxed, 5*time.Minute + 11*time.Second, 10 * time.Minute},
		"asked before, when it was old":   {asked(20 * time.Minute), pay.GearRelaxed, 21*time.Minute + time.Second, 30 * time.Minute},
		"in the tight gear":               {nil, pay.GearTight, 11 * time.Second, 0},
		"somebody made it due":            {nil, pay.GearRelaxed, 8 * time.Second, 0},
		"somebody made it due after that": {nil, pay.GearRelaxed, 20 * time.Second, 0},
		"somebody made an asked one due":  {asked(5 * time.Minute), pay.GearRelaxed, 5*time.Minute + 3*time.Second, 0},
		"the shop wants it closed":        {func(o *pay.Order) { o.CloseRequestedAt = placed() }, pay.GearRelaxed, 11 * time.Second, 0},
		"expired":                         {func(o *pay.Order) { o.ExpiresAt = placed().Add(10 * time.Second) }, pay.GearRelaxed, 11 * time.Second, 0},
		"failed":                          {func(o *pay.Order) { o.State = pay.OrderFailed }, pay.GearRelaxed, 11 * time.Second, 0},
		"due in the relaxed gear, too":    {asked(49 * time.Second), pay.GearRelaxed, time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := orderOf()
			if row.change != nil {
				row.change(&o)
			}
			later, early := tooEarly(o, row.gear, placed().Add(row.age))
			require.Equal(t, row.want != 0, early)
			if early {
				require.Equal(t, row.want, later.at.Sub(placed()))
			}
		})
	}
}

func TestMissing_ends_an_order_only_when_nobody_can_have_paid_it(t *testing.T) {
	t.Parallel()
	over := 2*time.Hour + missingFor
	created := func(o *pay.Order) { o.State = pay.OrderCreated }
	closedOnce := func(o *pay.Order) { o.State, o.CloseCount = pay.OrderCreated, 1 }
	for name, row := range map[string]struct {
		change   func(*pay.Order)
		age      time.Duration
		verified bool
		fails    bool
		alert    bool
		api      pay.API
		after    time.Duration
	}{
		"a fresh order may not be there yet":         {created, time.Minute, true, false, false, pay.APIOrderQuery, 10 * time.Second},
		"expired a moment ago":                       {closedOnce, 2*time.Hour + time.Second, true, false, false, pay.APIOrderClose, time.Minute},
		"long expired, never closed":                 {created, over, true, false, false, pay.APIOrderClose, 0},
		"long expired and closed, but nobody signed": {closedOnce, over, false, false, true, pay.APIOrderQuery, time.Hour},
		"long expired, closed, and signed":           {closedOnce, over, true, true, false, pay.APIOrderQuery, time.Hour},
		"WeChat Pay gave a credential for it":        {nil, time.Minute, true, false, true, pay.APIOrderQuery, time.Minute},
		"a credential, and long expired":             {func(o *pay.Order) { o.CloseCount = 3 }, over, true, false, true, pay.APIOrderClose, 4 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := orderOf()
			if row.change != nil {
				row.change(&o)
			}
			now := placed().Add(row.age)
			v, alert := missing(verdict{order: o}, row.verified, pay.GearTight, now)
			require.Equal(t, row.fails, v.entry != nil)
			require.Equal(t, row.alert, alert)
			require.Equal(t, look{row.api, now.Add(row.after)}, v.plan)
		})
	}
}

func TestUnclear_asks_again_later_each_time_within_the_tight_bound(t *testing.T) {
	t.Parallel()
	lost := errors.New("no answer")
	now := placed().Add(time.Minute)
	waits := func(o pay.Order, gear pay.Gear) (all []time.Duration) {
		for tries := 1; tries <= 7; tries++ {
			all = append(all, unclear(verdict{order: o}, lost, tries, gear, time.Hour, now).plan.at.Sub(now))
		}
		return all
	}
	s := time.Second
	require.Equal(t, []time.Duration{2 * s, 4 * s, 8 * s, 10 * s, 10 * s, 10 * s, 10 * s}, waits(orderOf(), pay.GearTight))
	require.Equal(t, []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}, waits(orderOf(), pay.GearRelaxed))
	limited := &wechatpay.CallError{Class: wechatpay.ClassRetry, Status: 429, Code: "FREQUENCY_LIMITED"}
	require.Equal(t, time.Hour, unclear(verdict{order: orderOf()}, limited, 1, pay.GearTight, time.Hour, now).plan.at.Sub(now))
}

func TestClosed_is_never_believed_without_a_query(t *testing.T) {
	t.Parallel()
	now := placed()
	paid := &wechatpay.CallError{Class: wechatpay.ClassQueryFirst, Status: 400, Code: "ORDERPAID"}
	for name, row := range map[string]struct {
		err   error
		tries int
		after time.Duration
		count int
	}{
		"accepted":                       {nil, 0, time.Second, 1},
		"refused as paid":                {paid, 1, 0, 0},
		"refused as paid, once more":     {paid, 2, 4 * time.Second, 0},
		"no answer":                      {errors.New("no answer"), 1, 2 * time.Second, 0},
		"called too often":               {&wechatpay.CallError{Status: 429}, 1, time.Minute, 0},
		"refused for good, a tenth time": {&wechatpay.CallError{Class: wechatpay.ClassFinal, Status: 400, Code: "PARAM_ERROR"}, 10, time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := closed(verdict{order: orderOf()}, row.err, row.tries, time.Minute, now)
			require.Nil(t, v.entry)
			require.Equal(t, look{pay.APIOrderQuery, now.Add(row.after)}, v.plan)
			require.Equal(t, row.count, v.closeCount)
		})
	}
}

func TestBound_stretches_when_the_budget_is_short(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		backlog      pay.Backlog
		every, bound time.Duration
	}{
		{pay.Backlog{}, 10 * time.Second, 15 * time.Second},
		{pay.Backlog{Young: 1000}, 10 * time.Second, 15 * time.Second},
		{pay.Backlog{Young: 2000}, 20 * time.Second, 35 * time.Second},
		{pay.Backlog{Old: 6000}, 10 * time.Second, 15 * time.Second},
		{pay.Backlog{Young: 2000, Old: 6000}, 30 * time.Second, 45 * time.Second},
	} {
		every, bound := boundOf(row.backlog, 100)
		require.Equal(t, row.every, every, row.backlog)
		require.Equal(t, row.bound, bound, row.backlog)
	}
}

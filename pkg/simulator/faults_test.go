package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestParseFault(t *testing.T) {
	t.Parallel()
	good := map[string]simulator.Fault{
		"notice_drop":                      {Kind: simulator.FaultNoticeDrop},
		"notice_drop=0.25":                 {Kind: simulator.FaultNoticeDrop, Probability: 0.25},
		"query_notpay=x3~2s":               {Kind: simulator.FaultQueryNotpay, Count: 3, DelayMs: 2000},
		"api_error_after_effect@T|1*":      {Kind: simulator.FaultErrorAfter, OutTradeNo: "T|1*"},
		"notice_delay=1~150ms@T2026=x~@11": {Kind: simulator.FaultNoticeDelay, Probability: 1, DelayMs: 150, OutTradeNo: "T2026=x~@11"},
	}
	for text, want := range good {
		got, err := simulator.ParseFault(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for text, says := range map[string]string{
		"notice_dorp":       "unknown",
		"notice_drop=":      "probability",
		"notice_drop=0":     "probability",
		"notice_drop=1.5":   "probability",
		"notice_drop=NaN":   "probability",
		"notice_drop=x0":    "count",
		"notice_drop@":      "order after @",
		"notice_delay~soon": "duration",
		"notice_delay~48h":  "delay_ms",
	} {
		_, err := simulator.ParseFault(text)
		require.ErrorContains(t, err, says, text)
	}
}

// TestFaultsAreTheSameUnderASeed: which orders a probability meets depends on the
// seed alone, whatever came in between.
func TestFaultsAreTheSameUnderASeed(t *testing.T) {
	t.Parallel()
	met := func(seed uint64, backwards bool) map[string]bool {
		b := newBench(t, func(o *simulator.Options) {
			o.Seed, o.Faults = seed, []simulator.Fault{{Kind: simulator.FaultAmountDiffers, Probability: 0.3}}
		})
		orders := map[string]bool{}
		for i := range 40 {
			if backwards {
				i = 39 - i
			}
			number := fmt.Sprintf("seed-%02d", i)
			orders[number] = b.paid(t, number, "https://shop.example/n", 0).AmountFen != 100
		}
		return orders
	}
	first := met(7, false)
	require.Equal(t, first, met(7, true))
	require.NotEqual(t, first, met(8, false))
	count := 0
	for _, hit := range first {
		if hit {
			count++
		}
	}
	require.Greater(t, count, 3)
	require.Less(t, count, 25)
}

func TestControlFaults(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *simulator.Options) { o.Seed = 42 })
	type document struct {
		Seed   uint64
		Faults []simulator.Fault
		Kinds  []simulator.FaultInfo
	}
	list := func() document {
		status, body := b.get(t, "/control/faults")
		require.Equal(t, http.StatusOK, status)
		var d document
		require.NoError(t, json.Unmarshal([]byte(body), &d))
		return d
	}
	require.Empty(t, list().Faults)
	require.EqualValues(t, 42, list().Seed)
	require.Equal(t, simulator.FaultKinds(), list().Kinds)

	status, body := b.post(t, "/control/faults", `{"kind":"notice_drop","probability":0.5,"count":3,"out_trade_no":"T1","delay_ms":20}`)
	require.Equal(t, http.StatusCreated, status, body)
	var set simulator.Fault
	require.NoError(t, json.Unmarshal([]byte(body), &set))
	require.Equal(t, simulator.Fault{ID: set.ID, Kind: simulator.FaultNoticeDrop, Probability: 0.5, Count: 3, OutTradeNo: "T1", DelayMs: 20}, set)
	for i, kind := range []string{"notice_drop", "platform_down", "amount_differs"} {
		status, body = b.post(t, "/control/faults", `{"kind":"`+kind+`","count":`+fmt.Sprint(i+1)+`}`)
		require.Equal(t, http.StatusCreated, status, body)
	}
	require.Len(t, list().Faults, 4)

	remove := func(query string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, b.url+"/control/faults"+query, nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		return statusOf(t, response)
	}
	status, body = remove("?kind=notice_drop&out_trade_no=T1")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"cleared":1}`, body)
	status, _ = remove("/" + list().Faults[0].ID)
	require.Equal(t, http.StatusOK, status)
	status, _ = remove("/" + set.ID)
	require.Equal(t, http.StatusNotFound, status)
	_, body = remove("")
	require.JSONEq(t, `{"cleared":2}`, body)

	for body, says := range map[string]string{
		`{"kind":"no_such"}`:                                "unknown",
		`{"kind":"notice_drop","probability":2}`:            "probability",
		`{"kind":"notice_drop","count":-1}`:                 "count",
		`{"kind":"notice_drop","delay_ms":-1}`:              "delay_ms",
		`{"kind":"api_error_before_effect","status":200}`:   "status",
		`{"kind":"api_error_before_effect","api":"precog"}`: "precog",
		`{"kind":"notice_drop","often":1}`:                  "often",
		`{"kind":"notice_drop"`:                             "EOF",
	} {
		status, answer := b.post(t, "/control/faults", body)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, answer, says)
	}
	require.Empty(t, list().Faults)
}

func TestOptionsRefuseUnknownFaults(t *testing.T) {
	t.Parallel()
	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	_, err = simulator.New(simulator.Options{Merchant: merchant, Faults: []simulator.Fault{{Kind: "no_such"}}})
	require.ErrorContains(t, err, "no_such")
}

// TestNothingHappensWithoutFaults: a fault for one order leaves the others alone.
func TestNothingHappensWithoutFaults(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried)
	shop := newReceiver(t, noContent)
	for _, info := range simulator.FaultKinds() {
		if info.Kind != simulator.FaultPlatformDown {
			b.fault(t, simulator.Fault{Kind: info.Kind, OutTradeNo: "another"})
		}
	}
	b.place(t, "alone-1", b.notifyURL(shop))
	b.pay(t, "alone-1")
	summary := b.settled(t)
	require.Equal(t, []int{1, 0, 0}, []int{summary.Acknowledged, summary.Duplicates, summary.Forged})
	require.Len(t, b.simulator.Ledger().Payments, 1)
	require.Equal(t, "SUCCESS", *b.query(t, *b.jsapi(t), "alone-1").TradeState)
	for _, f := range b.simulator.Faults() {
		require.Zero(t, f.Fired, f.Kind)
	}
}

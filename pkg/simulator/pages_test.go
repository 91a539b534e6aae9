package simulator_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, noContent)
	b.place(t, "order|1*", b.notifyURL(shop))
	status, page := b.get(t, "/")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, `href="/orders/`+url.PathEscape("order|1*")+`"`)
	path := "/orders/" + url.PathEscape("order|1*")
	_, page = b.get(t, path)
	require.Contains(t, page, "Pay 1.00 yuan")

	response, err := http.PostForm(b.url+path+"/pay", nil)
	require.NoError(t, err)
	status, page = statusOf(t, response)
	require.Equal(t, http.StatusOK, status, "the form leads back to the order")
	require.Contains(t, page, `role="status">paid</span>`)
	require.NotContains(t, page, "Pay 1.00 yuan")
	b.settled(t)
	_, page = b.get(t, path)
	require.Contains(t, page, `204, <span class="good">acknowledged</span>`)

	response, err = http.PostForm(b.url+path+"/pay", nil)
	require.NoError(t, err)
	status, page = statusOf(t, response)
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, page, `role="alert"`)
	status, _ = b.get(t, "/orders/nothing")
	require.Equal(t, http.StatusNotFound, status)
}

func TestPagesOfFaults(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.place(t, "order-1", "http://127.0.0.1:1/n")
	submit := func(path string, form url.Values) (int, string) {
		response, err := http.PostForm(b.url+path, form)
		require.NoError(t, err)
		return statusOf(t, response)
	}
	status, page := submit("/faults", url.Values{"kind": {"notice_drop"}, "probability": {".5"}, "out_trade_no": {"order-1"}})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "notice_drop, order order-1, probability 0.5; happened 0 times")
	require.Contains(t, page, "<b>1 on</b>")
	_, page = b.get(t, "/orders/order-1")
	require.Contains(t, page, "notice_drop, order order-1")
	for _, info := range simulator.FaultKinds() {
		require.Equal(t, info.ByOrder, strings.Contains(page, `<option value="`+string(info.Kind)+`"`), "%s", info.Kind)
	}

	for name, form := range map[string]url.Values{
		"an unknown kind":         {"kind": {"rain"}},
		"a count of nothing":      {"kind": {"notice_drop"}, "count": {"few"}},
		"a count beyond all":      {"kind": {"notice_drop"}, "count": {"99999999999"}},
		"a probability of two":    {"kind": {"notice_drop"}, "probability": {"2"}},
		"a delay before its time": {"kind": {"notice_delay"}, "delay_ms": {"-1"}},
	} {
		status, page := submit("/faults", form)
		require.Equal(t, http.StatusBadRequest, status, name)
		require.Contains(t, page, `role="alert"`, name)
		form.Set("order_page", "order-1")
		status, page = submit("/faults", form)
		require.Equal(t, http.StatusBadRequest, status, name)
		require.Contains(t, page, "<h1>Order order-1", "%s: the mistake shows where it was made", name)
	}
	require.Len(t, b.simulator.Faults(), 1)
	status, page = submit("/faults/clear", url.Values{"order_page": {"order-1"}, "id": {b.simulator.Faults()[0].ID}})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "<h1>Order order-1", "back to where the button was")
	require.Empty(t, b.simulator.Faults())
}

// Another site that is open in the same browser cannot press the buttons.
func TestPagesRefuseFormsOfOtherSites(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.place(t, "order-1", "http://127.0.0.1:1/n")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/orders/order-1/pay", nil)
	require.NoError(t, err)
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	status, _ := statusOf(t, response)
	require.Equal(t, http.StatusForbidden, status)
	require.Empty(t, b.simulator.Ledger().Payments)
}

// A seller's text stays text.
func TestPagesEscape(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := strings.NewReplacer("order-1", "escape-1", `"tea"`, `"<script>alert(1)</script>"`).Replace(goodPrepay)
	require.Equal(t, http.StatusOK, call(t, b.simulator, b.merchant, http.MethodPost, "/v3/pay/transactions/jsapi", body).Code)
	for _, path := range []string{"/", "/orders/escape-1"} {
		_, page := b.get(t, path)
		require.NotContains(t, page, "<script")
		require.Contains(t, page, "&lt;script&gt;")
	}
}

package simulator_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func daysAgo(n int) string {
	return time.Now().In(time.FixedZone("", 8*3600)).AddDate(0, 0, -n).Format(time.DateOnly)
}

// applied is the answer to an application for a bill.
type applied struct {
	HashType    string `json:"hash_type"`
	HashValue   string `json:"hash_value"`
	DownloadURL string `json:"download_url"`
}

func (b bench) apply(t *testing.T, path string) (applied, error) {
	t.Helper()
	var a applied
	result, err := b.sdk(t).Get(t.Context(), "https://api.mch.weixin.qq.com"+path)
	if err != nil {
		return a, err
	}
	require.NoError(t, core.UnMarshalResponse(result.Response, &a))
	require.Equal(t, "SHA1", a.HashType)
	return a, nil
}

// bill applies for a bill with the official SDK and fetches it with a signed request.
func (b bench) bill(t *testing.T, path string) string {
	t.Helper()
	a, err := b.apply(t, path)
	require.NoError(t, err)
	file, header := b.download(t, a)
	require.Empty(t, header.Get("Wechatpay-Signature"), "a download is not signed")
	if strings.Contains(path, "tar_type=GZIP") {
		require.Equal(t, []byte{0x1f, 0x8b}, file[:2])
		require.Contains(t, a.DownloadURL, "&tartype=gzip")
		reader, err := gzip.NewReader(bytes.NewReader(file))
		require.NoError(t, err)
		file, err = io.ReadAll(reader)
		require.NoError(t, err)
	}
	sum := sha1.Sum(file)
	require.Equal(t, hex.EncodeToString(sum[:]), a.HashValue, "the sum is that of the file before compression")
	return string(file)
}

func (b bench) download(t *testing.T, a applied) ([]byte, http.Header) {
	t.Helper()
	client, err := core.NewClient(t.Context(), option.WithMerchantCredential(b.merchant.Mchid, b.merchant.Serial, b.merchant.PrivateKey),
		option.WithoutValidator(), option.WithHTTPClient(b.httpClient()))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(a.DownloadURL, b.url+"/v3/billdownload/file?token="), a.DownloadURL)
	result, err := client.Get(t.Context(), a.DownloadURL)
	require.NoError(t, err)
	_, body := statusOf(t, result.Response)
	return []byte(body), result.Response.Header
}

func (b bench) closeBooks(t *testing.T, body string) map[string]any {
	t.Helper()
	status, answer := b.post(t, "/control/bills", body)
	require.Equal(t, http.StatusOK, status, answer)
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(answer), &report))
	return report
}

func rowsOf(file string) (rows [][]string, header, sumHeader, sum []string) {
	lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(file, "\ufeff"), "\r\n"), "\r\n")
	for _, line := range lines[1 : len(lines)-2] {
		rows = append(rows, strings.Split(strings.TrimPrefix(line, "`"), ",`"))
	}
	return rows, strings.Split(lines[0], ","), strings.Split(lines[len(lines)-2], ","), strings.Split(strings.TrimPrefix(lines[len(lines)-1], "`"), ",`")
}

// TestBills: what happened is in the bills of the day that was closed, in all kinds.
func TestBills(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	date := daysAgo(1)
	paid := map[string]simulator.Payment{}
	for _, number := range []string{"order-1", "order-2"} {
		b.place(t, number, "http://127.0.0.1:1/n")
		payment, err := b.simulator.Pay(number, simulator.PayRequest{Notify: simulator.ProtocolNone})
		require.NoError(t, err)
		paid[number] = payment
	}
	b.place(t, "order-3", "http://127.0.0.1:1/n")
	amount := paid["order-1"].AmountFen
	refund, err := b.simulator.RefundByConsole("order-1", simulator.ConsoleRefund{AmountFen: 40, Notify: simulator.ProtocolNone})
	require.NoError(t, err)

	_, err = b.apply(t, "/v3/bill/tradebill?bill_date="+date)
	requireCode(t, err, http.StatusBadRequest, "NO_STATEMENT_EXIST")
	report := b.closeBooks(t, `{"bill_date":"`+date+`"}`)
	require.Equal(t, map[string]any{"bill_date": date, "payments": 2.0, "refunds": 1.0}, report)

	for _, more := range []string{"", "&bill_type=ALL", "&tar_type=GZIP", "&bill_type=ALL&tar_type=GZIP"} {
		rows, header, sumHeader, sum := rowsOf(b.bill(t, "/v3/bill/tradebill?bill_date="+date+more))
		require.Len(t, header, 27)
		require.Len(t, sumHeader, 7)
		require.Len(t, rows, 3, "only what was paid is in a bill")
		for _, row := range rows {
			require.Len(t, row, 27)
		}
		require.Equal(t, []string{paid["order-1"].TransactionID, "order-1", paid["order-1"].Openid}, rows[0][5:8])
		require.Equal(t, []string{"REFUND", refund.RefundID, refund.OutRefundNo, "0.40", "0.40"}, []string{rows[2][9], rows[2][14], rows[2][15], rows[2][16], rows[2][25]})
		require.Equal(t, []string{"3", yuanOf(2 * amount), "0.40"}, []string{sum[0], sum[1], sum[2]})
	}
	rows, header, sumHeader, sum := rowsOf(b.bill(t, "/v3/bill/tradebill?bill_type=SUCCESS&bill_date="+date))
	require.Equal(t, []int{20, 4, 2, 20}, []int{len(header), len(sumHeader), len(rows), len(rows[0])})
	require.Equal(t, []string{"商品名称", "商户数据包", "手续费", "费率", "订单金额", "费率备注"}, header[14:])
	require.Equal(t, []string{"2", yuanOf(2 * amount)}, sum[:2])
	rows, header, sumHeader, _ = rowsOf(b.bill(t, "/v3/bill/tradebill?bill_type=REFUND&bill_date="+date))
	require.Equal(t, []int{29, 7, 1, 29}, []int{len(header), len(sumHeader), len(rows), len(rows[0])})
	require.Equal(t, []string{"代金券金额", "退款申请时间", "退款成功时间", "微信退款单号"}, header[13:17])

	flows, header, sumHeader, sum := rowsOf(b.bill(t, "/v3/bill/fundflowbill?account_type=BASIC&tar_type=GZIP&bill_date="+date))
	require.Equal(t, []int{11, 5}, []int{len(header), len(sumHeader)})
	var balance int64
	for _, f := range flows {
		fen := fenOf(t, f[6])
		if f[5] == "支出" {
			fen = -fen
		}
		balance += fen
		require.Equal(t, yuanOf(balance), f[7], "the balance is what was there and what moved")
	}
	require.Equal(t, yuanOf(fenOf(t, sum[2])-fenOf(t, sum[4])), yuanOf(balance))
	_, err = b.apply(t, "/v3/bill/fundflowbill?account_type=FEES&bill_date="+date)
	requireCode(t, err, http.StatusBadRequest, "NO_STATEMENT_EXIST")

	require.Contains(t, b.v2Send(t, http.DefaultClient, b.url+"/pay/downloadbill", b.v2Body(map[string]string{
		"bill_date": strings.ReplaceAll(date, "-", ""), "bill_type": "ALL"})), "交易时间,公众账号ID")
	none := b.v2(t, "/pay/downloadbill", map[string]string{"bill_date": "20200101", "bill_type": "ALL"})
	require.Equal(t, []string{"FAIL", "invalid bill_date"}, []string{none["return_code"], none["return_msg"]})
	none = b.v2(t, "/pay/downloadbill", map[string]string{"bill_date": strings.ReplaceAll(daysAgo(2), "-", "")})
	require.Equal(t, []string{"FAIL", "No Bill Exist", "20002"}, []string{none["return_code"], none["return_msg"], none["error_code"]})
}

func yuanOf(fen int64) string {
	if fen < 0 {
		return "-" + yuanOf(-fen)
	}
	return fmt.Sprintf("%d.%02d", fen/100, fen%100)
}

func fenOf(t *testing.T, yuan string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.Replace(yuan, ".", "", 1), 10, 64)
	require.NoError(t, err)
	return n
}

// TestBillsAreOfWhatHappenedSinceTheLastClose: a repeat adds, another day has the rest.
func TestBillsAreOfWhatHappenedSinceTheLastClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, func(o *simulator.Options) { o.StateDir = dir })
	pay := func(number string) {
		b.place(t, number, "http://127.0.0.1:1/n")
		_, err := b.simulator.Pay(number, simulator.PayRequest{Notify: simulator.ProtocolNone})
		require.NoError(t, err)
	}
	count := func(date string) int {
		rows, _, _, _ := rowsOf(b.bill(t, "/v3/bill/tradebill?bill_date="+date))
		return len(rows)
	}
	pay("order-1")
	b.closeBooks(t, `{"bill_date":"`+daysAgo(2)+`"}`)
	pay("order-2")
	b.closeBooks(t, `{"bill_date":"2020-02-29","bom":true,"line_end":"lf"}`)
	pay("order-3")
	require.InDelta(t, 2, b.closeBooks(t, `{"bill_date":"`+daysAgo(2)+`"}`)["payments"], 0)
	require.Equal(t, 2, count(daysAgo(2)))
	old := b.bill(t, "/v3/bill/tradebill?bill_date=2020-02-29")
	require.True(t, strings.HasPrefix(old, "\ufeff交易时间,"), "a day that was closed has its bill, however old")
	require.NotContains(t, old, "\r")
	require.Contains(t, old, "`order-2,")
	b.closeBooks(t, `{"bill_date":"`+daysAgo(3)+`"}`)
	_, err := b.apply(t, "/v3/bill/tradebill?bill_date="+daysAgo(3))
	requireCode(t, err, http.StatusBadRequest, "NO_STATEMENT_EXIST")

	before := b.bill(t, "/v3/bill/tradebill?bill_date="+daysAgo(2))
	flows := b.bill(t, "/v3/bill/fundflowbill?bill_date="+daysAgo(2))
	require.NoError(t, b.simulator.Close())
	again := newBench(t, func(o *simulator.Options) { o.StateDir, o.Merchant = dir, b.merchant })
	require.Equal(t, before, again.bill(t, "/v3/bill/tradebill?bill_date="+daysAgo(2)), "a restart comes to the same bill")
	require.Equal(t, flows, again.bill(t, "/v3/bill/fundflowbill?bill_date="+daysAgo(2)))
}

// TestBillsOfThemselves: a day that nobody closed has its bill the next morning.
func TestBillsOfThemselves(t *testing.T) {
	t.Parallel()
	clock := &billClock{at: time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC)} // 23:00 in Beijing
	b := newBench(t, func(o *simulator.Options) { o.Now = clock.now })
	ask := func(path string) (int, string) {
		status, answer := b.send(t, http.MethodGet, path, "", func(p *parts) { p.timestamp = strconv.FormatInt(clock.now().Unix(), 10) })
		if status != http.StatusOK {
			return status, code(t, answer)
		}
		return status, ""
	}
	const path = "/v3/bill/tradebill?bill_date=2026-03-01"
	status, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", goodPrepay, func(p *parts) { p.timestamp = strconv.FormatInt(clock.now().Unix(), 10) })
	require.Equal(t, http.StatusOK, status, answer)
	_, err := b.simulator.Pay("order-1", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	for _, row := range []struct {
		at   time.Time
		code string
	}{
		{time.Date(2026, 3, 1, 15, 59, 59, 0, time.UTC), "INVALID_REQUEST"},   // the day is not over
		{time.Date(2026, 3, 1, 16, 0, 0, 0, time.UTC), "STATEMENT_CREATING"},  // midnight
		{time.Date(2026, 3, 2, 1, 59, 59, 0, time.UTC), "STATEMENT_CREATING"}, // 09:59:59
		{time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC), ""},                     // 10:00
	} {
		clock.set(row.at)
		_, got := ask(path)
		require.Equal(t, row.code, got, row.at)
	}
	_, got := ask("/v3/bill/tradebill?bill_date=2026-02-28")
	require.Equal(t, "NO_STATEMENT_EXIST", got)
	_, got = ask("/v3/bill/tradebill?bill_date=2025-12-01")
	require.Equal(t, "INVALID_REQUEST", got, "three months is all")
}

// billClock is a clock that a test sets.
type billClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *billClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *billClock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func TestBillDownloadExpires(t *testing.T) {
	t.Parallel()
	clock := &billClock{at: time.Now()}
	b := newBench(t, func(o *simulator.Options) { o.Now, o.Speed = clock.now, 10 })
	b.place(t, "order-1", "http://127.0.0.1:1/n")
	_, err := b.simulator.Pay("order-1", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.closeBooks(t, `{"bill_date":"`+daysAgo(1)+`"}`)
	a, err := b.apply(t, "/v3/bill/tradebill?tar_type=GZIP&bill_date="+daysAgo(1))
	require.NoError(t, err)
	uri := strings.TrimPrefix(a.DownloadURL, b.url)
	status, answer := b.get(t, uri)
	require.Equal(t, http.StatusUnauthorized, status, "a download is a signed request")
	require.Equal(t, "SIGN_ERROR", code(t, answer))
	status, _ = b.send(t, http.MethodGet, strings.TrimSuffix(uri, "&tartype=gzip"), "")
	require.Equal(t, http.StatusBadRequest, status, "the URL is to be used as it was given")
	clock.set(clock.now().Add(30 * time.Second))
	status, _ = b.send(t, http.MethodGet, uri, "")
	require.Equal(t, http.StatusOK, status)
	clock.set(clock.now().Add(time.Second))
	status, answer = b.send(t, http.MethodGet, uri, "")
	require.Equal(t, http.StatusBadRequest, status, "five minutes at tenfold speed are over")
	require.Equal(t, "INVALID_REQUEST", code(t, answer))
	require.Contains(t, answer, "下载链接过期")
}

func TestBillsRefuse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for path, wanted := range map[string]string{
		"/v3/bill/tradebill":                                                   "PARAM_ERROR",
		"/v3/bill/tradebill?bill_date=20260101":                                "PARAM_ERROR",
		"/v3/bill/tradebill?bill_date=" + daysAgo(1) + "&bill_type=all":        "PARAM_ERROR",
		"/v3/bill/tradebill?bill_date=" + daysAgo(1) + "&tar_type=ZIP":         "PARAM_ERROR",
		"/v3/bill/tradebill?bill_date=" + daysAgo(1) + "&sub_mchid=1":          "PARAM_ERROR",
		"/v3/bill/tradebill?bill_date=" + daysAgo(1) + "&bill_date=2026-01-01": "PARAM_ERROR",
		"/v3/bill/fundflowbill?bill_date=" + daysAgo(1) + "&account_type=X":    "PARAM_ERROR",
		"/v3/bill/tradebill?bill_date=" + daysAgo(0):                           "INVALID_REQUEST",
		"/v3/bill/fundflowbill?bill_date=" + daysAgo(-1):                       "INVALID_REQUEST",
		"/v3/bill/tradebill?bill_date=2020-01-01":                              "INVALID_REQUEST",
		"/v3/bill/fundflowbill?bill_date=" + daysAgo(1):                        "NO_STATEMENT_EXIST",
		"/v3/billdownload/file":                                                "PARAM_ERROR",
		"/v3/billdownload/file?token=unknown":                                  "INVALID_REQUEST",
	} {
		status, answer := b.send(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusBadRequest, status, path)
		require.Equal(t, wanted, code(t, answer), path)
	}
	for _, body := range []string{`{}`, `{"bill_date":"` + daysAgo(0) + `"}`, `{"bill_date":"20260101"}`, `{"bill_date":"2026-01-01","line_end":"cr"}`, `{"date":"2026-01-01"}`, `x`} {
		status, _ := b.post(t, "/control/bills", body)
		require.Equal(t, http.StatusBadRequest, status, body)
	}
}

func TestBillFaults(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i, kind := range []simulator.FaultKind{simulator.FaultBillRowMissing, simulator.FaultBillRowExtra, simulator.FaultBillRowAltered, ""} {
		number := fmt.Sprintf("order-%d", i)
		b.place(t, number, "http://127.0.0.1:1/n")
		_, err := b.simulator.Pay(number, simulator.PayRequest{Notify: simulator.ProtocolNone})
		require.NoError(t, err)
		if kind != "" {
			_, err = b.simulator.SetFault(simulator.Fault{Kind: kind, OutTradeNo: number})
			require.NoError(t, err)
		}
	}
	ledger := map[string]int64{}
	for _, p := range b.simulator.Ledger().Payments {
		ledger[p.OutTradeNo] = p.AmountFen
	}
	_, err := b.simulator.SetFault(simulator.Fault{Kind: simulator.FaultBillNotReady, Count: 1})
	require.NoError(t, err)
	b.closeBooks(t, `{"bill_date":"`+daysAgo(1)+`"}`)
	path := "/v3/bill/tradebill?bill_date=" + daysAgo(1)
	_, err = b.apply(t, path)
	requireCode(t, err, http.StatusBadRequest, "STATEMENT_CREATING")
	file := b.bill(t, path)
	rows, _, _, sum := rowsOf(file)
	require.Equal(t, "4", sum[0])
	billed := map[string]int64{}
	for _, row := range rows {
		billed[row[6]] = fenOf(t, row[24])
	}
	require.NotContains(t, billed, "order-0")
	require.Equal(t, ledger["order-1"], billed["order-1"])
	require.Equal(t, ledger["order-2"]+1, billed["order-2"])
	require.Equal(t, ledger["order-3"], billed["order-3"])
	require.Len(t, billed, 4)
	for number := range billed {
		if _, known := ledger[number]; !known {
			require.Contains(t, number, "EXTRA")
		}
	}
	require.Equal(t, file, b.bill(t, path), "a bill stays as it was made, faults and all")
}

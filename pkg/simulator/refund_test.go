package simulator_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"
	"github.com/wechatpay-apiv3/wechatpay-go/services/refunddomestic"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// fast makes refunds take no time to speak of, held keeps them in PROCESSING.
func fast(o *simulator.Options) { o.Speed = 1000 }
func held(o *simulator.Options) { o.Speed = 1e-3 }

// paid is an order of 100 fen, paid without a notice.
func (b bench) paid(t *testing.T, number, notifyURL string, couponFen int64) simulator.Payment {
	t.Helper()
	b.place(t, number, notifyURL)
	payment, err := b.simulator.Pay(number, simulator.PayRequest{Notify: simulator.ProtocolNone, CouponFen: couponFen})
	require.NoError(t, err)
	return payment
}

func refundOf(number, refund string, fen int64) refunddomestic.CreateRequest {
	return refunddomestic.CreateRequest{
		OutTradeNo: core.String(number), OutRefundNo: core.String(refund), Reason: core.String("商品已售完"),
		Amount: &refunddomestic.AmountReq{Refund: core.Int64(fen), Total: core.Int64(100), Currency: core.String("CNY")},
	}
}

func (b bench) refunds(t *testing.T) refunddomestic.RefundsApiService {
	t.Helper()
	return refunddomestic.RefundsApiService{Client: b.sdk(t)}
}

// ended waits until a refund has a status.
func (b bench) ended(t *testing.T, refund string, status simulator.RefundStatus) simulator.Refund {
	t.Helper()
	require.Eventually(t, func() bool {
		r, known := b.simulator.Refund(refund)
		return known && r.Status == status
	}, soon, tick)
	r, _ := b.simulator.Refund(refund)
	return r
}

// refundResource is the documented inside of a refund notification.
type refundResource struct {
	Mchid               string `json:"mchid"`
	TransactionID       string `json:"transaction_id"`
	OutTradeNo          string `json:"out_trade_no"`
	RefundID            string `json:"refund_id"`
	OutRefundNo         string `json:"out_refund_no"`
	RefundStatus        string `json:"refund_status"`
	SuccessTime         string `json:"success_time"`
	UserReceivedAccount string `json:"user_received_account"`
	Amount              struct {
		Total       int64 `json:"total"`
		Refund      int64 `json:"refund"`
		PayerTotal  int64 `json:"payer_total"`
		PayerRefund int64 `json:"payer_refund"`
	} `json:"amount"`
}

// parseRefund verifies and decrypts with the SDK's own handler.
func (b bench) parseRefund(t *testing.T, r received) (*notify.Request, refundResource) {
	t.Helper()
	handler, err := notify.NewRSANotifyHandler(b.merchant.APIv3Key, b.combined(t))
	require.NoError(t, err)
	var resource refundResource
	request, err := handler.ParseNotifyRequest(t.Context(), r.request(), &resource)
	require.NoError(t, err)
	return request, resource
}

// TestRefundBySDK runs the official SDK through the life of a refund in both modes.
func TestRefundBySDK(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]func(bench, *testing.T) *core.Client{"public key": bench.sdk, "platform certificate": bench.certificateClient} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, held)
			shop := newReceiver(t, noContent)
			payment := b.paid(t, "order-1", b.notifyURL(shop), 5)
			service := refunddomestic.RefundsApiService{Client: client(b, t)}

			made, _, err := service.Create(t.Context(), refundOf("order-1", "R|1*@", 40))
			require.NoError(t, err)
			require.Equal(t, []string{"PROCESSING", payment.TransactionID, "order-1", "ORIGINAL", "UNSETTLED"},
				[]string{string(*made.Status), *made.TransactionId, *made.OutTradeNo, string(*made.Channel), string(*made.FundsAccount)})
			require.Regexp(t, `^5030\d{25}$`, *made.RefundId)
			require.Equal(t, []int64{100, 40, 95, 38, 2},
				[]int64{*made.Amount.Total, *made.Amount.Refund, *made.Amount.PayerTotal, *made.Amount.PayerRefund, *made.Amount.DiscountRefund})
			require.Len(t, made.PromotionDetail, 1)

			again, _, err := service.Create(t.Context(), refundOf("order-1", "R|1*@", 40))
			require.NoError(t, err)
			require.Equal(t, made.String(), again.String(), "the same number with the same parameters is the same refund")
			query := jsapi.JsapiApiService{Client: b.sdk(t)}
			require.Equal(t, "REFUND", *b.query(t, query, "order-1").TradeState, "from the first refund on")

			status, answer := b.post(t, "/control/refunds/R%7C1*@", `{"status":"SUCCESS"}`)
			require.Equal(t, http.StatusOK, status, answer)
			done, _, err := service.QueryByOutRefundNo(t.Context(), refunddomestic.QueryByOutRefundNoRequest{OutRefundNo: core.String("R|1*@")})
			require.NoError(t, err)
			require.Equal(t, "SUCCESS", string(*done.Status))
			require.WithinDuration(t, time.Now(), *done.SuccessTime, soon)

			b.settled(t)
			require.Len(t, shop.all(), 1)
			request, told := b.parseRefund(t, shop.all()[0])
			require.Equal(t, []string{"REFUND.SUCCESS", "refund", "退款成功"}, []string{request.EventType, request.Resource.OriginalType, request.Summary})
			require.Equal(t, []string{"SUCCESS", *made.RefundId, "R|1*@", payment.TransactionID, b.merchant.Mchid, "支付用户零钱"},
				[]string{told.RefundStatus, told.RefundID, told.OutRefundNo, told.TransactionID, told.Mchid, told.UserReceivedAccount})
			require.Equal(t, []int64{100, 40, 95, 38}, []int64{told.Amount.Total, told.Amount.Refund, told.Amount.PayerTotal, told.Amount.PayerRefund})
			_, err = time.Parse(time.RFC3339, told.SuccessTime)
			require.NoError(t, err)
		})
	}
}

func TestRefundEndsByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t, fast)
	shop, other := newReceiver(t, noContent), newReceiver(t, noContent)
	b.paid(t, "order-1", b.notifyURL(shop), 0)
	request := refundOf("order-1", "R1", 100)
	request.NotifyUrl = core.String(other.url + "/refunds")
	service := b.refunds(t)
	_, _, err := service.Create(t.Context(), request)
	require.NoError(t, err)
	r := b.ended(t, "R1", simulator.RefundSuccess)
	b.settled(t)
	require.Empty(t, shop.all(), "the refund's notify_url wins over the order's")
	require.Len(t, other.all(), 1)
	require.Equal(t, []simulator.Refund{r}, b.simulator.Ledger().Refunds)
	require.Equal(t, time.UTC, r.SucceededAt.Location())
	require.GreaterOrEqual(t, r.SucceededAt.Sub(r.CreatedAt), 3*time.Millisecond, "three seconds, a thousand times faster")
}

func TestRefundRules(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	b.place(t, "unpaid", "http://127.0.0.1:1/n")
	service := b.refunds(t)
	_, _, err := service.Create(t.Context(), refundOf("order-1", "R1", 60))
	require.NoError(t, err)

	rows := map[string]struct {
		change func(*refunddomestic.CreateRequest)
		status int
		code   string
	}{
		"another amount": {func(r *refunddomestic.CreateRequest) { r.Amount.Refund = core.Int64(59) }, 400, "INVALID_REQUEST"},
		"another reason": {func(r *refunddomestic.CreateRequest) { r.Reason = core.String("x") }, 400, "INVALID_REQUEST"},
		"too much in sum": {func(r *refunddomestic.CreateRequest) {
			r.OutRefundNo, r.Amount.Refund = core.String("R2"), core.Int64(41)
		}, 400, "INVALID_REQUEST"},
		"too much": {func(r *refunddomestic.CreateRequest) {
			r.OutRefundNo, r.Amount.Refund = core.String("R2"), core.Int64(101)
		}, 400, "INVALID_REQUEST"},
		"another total": {func(r *refunddomestic.CreateRequest) {
			r.OutRefundNo, r.Amount.Total = core.String("R2"), core.Int64(101)
		}, 400, "INVALID_REQUEST"},
		"an unpaid order": {func(r *refunddomestic.CreateRequest) {
			r.OutRefundNo, r.OutTradeNo = core.String("R2"), core.String("unpaid")
		}, 404, "RESOURCE_NOT_EXISTS"},
		"an unknown order": {func(r *refunddomestic.CreateRequest) {
			r.OutRefundNo, r.OutTradeNo = core.String("R2"), core.String("nothing")
		}, 404, "RESOURCE_NOT_EXISTS"},
		"a strange payment": {func(r *refunddomestic.CreateRequest) {
			r.OutRefundNo, r.OutTradeNo, r.TransactionId = core.String("R2"), nil, core.String("42")
		}, 404, "RESOURCE_NOT_EXISTS"},
		"a partner's field": {func(r *refunddomestic.CreateRequest) { r.SubMchid = core.String("1900000110") }, 400, "PARAM_ERROR"},
	}
	for name, row := range rows {
		request := refundOf("order-1", "R1", 60)
		row.change(&request)
		_, _, err := service.Create(t.Context(), request)
		requireCode(t, err, row.status, row.code)
		require.Len(t, b.simulator.Refunds("order-1"), 1, name)
	}
	_, _, err = service.QueryByOutRefundNo(t.Context(), refunddomestic.QueryByOutRefundNoRequest{OutRefundNo: core.String("R2")})
	requireCode(t, err, http.StatusNotFound, "RESOURCE_NOT_EXISTS")

	_, _, err = service.Create(t.Context(), refundOf("order-1", "R2", 40))
	require.NoError(t, err, "what was refused left its number free")
	_, _, err = b.simulator.SettleRefund("R1", simulator.RefundOutcome{Status: simulator.RefundClosed, Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	_, _, err = service.Create(t.Context(), refundOf("order-1", "R3", 60))
	require.NoError(t, err, "a closed refund gives its amount free")
}

func TestRefundRefusesBodies(t *testing.T) {
	t.Parallel()
	const good = `{"out_trade_no":"order-1","out_refund_no":"R1","amount":{"refund":40,"total":100,"currency":"CNY"}}`
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	rows := map[string]struct{ body, field string }{
		"both numbers":          {swap(`{"out`, `{"transaction_id":"42","out`), "#/properties/out_trade_no"},
		"neither number":        {swap(`"out_trade_no":"order-1",`, ``), "#/properties/transaction_id"},
		"no refund number":      {swap(`"out_refund_no":"R1",`, ``), "#/properties/out_refund_no"},
		"a wrong character":     {swap(`R1`, `R.1`), "#/properties/out_refund_no"},
		"a long number":         {swap(`R1`, strings.Repeat("R", 65)), "#/properties/out_refund_no"},
		"an unknown field":      {swap(`"amount"`, `"colour":1,"amount"`), "#/properties/colour"},
		"a null":                {swap(`"amount"`, `"reason":null,"amount"`), "#/properties/reason"},
		"a long reason":         {swap(`"amount"`, `"reason":"`+strings.Repeat("退", 81)+`","amount"`), "#/properties/reason"},
		"a wrong account":       {swap(`"amount"`, `"funds_account":"BASIC","amount"`), "#/properties/funds_account"},
		"a query in notify_url": {swap(`"amount"`, `"notify_url":"http://127.0.0.1/n?a=1","amount"`), "#/properties/notify_url"},
		"no currency":           {swap(`,"currency":"CNY"`, ``), "#/properties/amount/properties/currency"},
		"another currency":      {swap(`CNY`, `USD`), "#/properties/amount/properties/currency"},
		"nothing to refund":     {swap(`40`, `0`), "#/properties/amount/properties/refund"},
		"a fraction":            {swap(`40`, `40.5`), "#/properties/amount/properties/refund"},
		"an account twice": {swap(`"total"`, `"from":[{"account":"AVAILABLE","amount":20},{"account":"AVAILABLE","amount":20}],"total"`),
			"#/properties/amount/properties/from"},
	}
	b := newBench(t, held)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, answer := b.send(t, http.MethodPost, "/v3/refund/domestic/refunds", row.body)
			require.Equal(t, http.StatusBadRequest, status, answer)
			require.Equal(t, "PARAM_ERROR", code(t, answer))
			require.Contains(t, answer, row.field)
		})
	}
	status, answer := b.send(t, http.MethodPost, "/v3/refund/domestic/refunds", swap(`"total"`, `"from":[{"account":"AVAILABLE","amount":39}],"total"`))
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "INVALID_REQUEST", code(t, answer))
	status, answer = b.send(t, http.MethodGet, "/v3/refund/domestic/refunds/R1?mchid=1900000109", "")
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "PARAM_ERROR", code(t, answer))
	t.Cleanup(func() { require.Empty(t, b.simulator.Ledger().Refunds) })
}

func TestFiftyRefundsAndNoMore(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 5)
	service := b.refunds(t)
	for i := range 50 {
		_, _, err := service.Create(t.Context(), refundOf("order-1", fmt.Sprint("R", i), 1))
		require.NoError(t, err)
	}
	_, _, err := service.Create(t.Context(), refundOf("order-1", "R50", 1))
	requireCode(t, err, http.StatusBadRequest, "INVALID_REQUEST")
	_, _, err = service.Create(t.Context(), refundOf("order-1", "R7", 1))
	require.NoError(t, err, "a repetition is no further refund")
}

func TestOldPaymentsAreNotRefunded(t *testing.T) {
	t.Parallel()
	clock := &shiftedClock{}
	b := newBench(t, held, func(o *simulator.Options) { o.Now = clock.now })
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	clock.shift(365*24*time.Hour - time.Minute)
	_, err := b.simulator.RefundByConsole("order-1", simulator.ConsoleRefund{AmountFen: 1})
	require.NoError(t, err)
	clock.shift(2 * time.Minute)
	_, err = b.simulator.RefundByConsole("order-1", simulator.ConsoleRefund{AmountFen: 1})
	require.ErrorContains(t, err, "365 days")
}

// shiftedClock is the wall clock, moved ahead.
type shiftedClock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *shiftedClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *shiftedClock) shift(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func TestOneNumberRefundsOnceHoweverManyAskAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, fast)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	service := b.refunds(t)
	var all sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		all.Go(func() {
			if made, _, err := service.Create(t.Context(), refundOf("order-1", "R1", 30)); err == nil {
				ids[i] = *made.RefundId
			}
		})
	}
	all.Wait()
	refunds := b.simulator.Ledger().Refunds
	require.Len(t, refunds, 1)
	for _, id := range ids {
		require.Equal(t, refunds[0].RefundID, id)
	}
}

func TestManyRefundsAtOnceNeverExceedThePayment(t *testing.T) {
	t.Parallel()
	b := newBench(t, fast)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	service := b.refunds(t)
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() { _, _, _ = service.Create(t.Context(), refundOf("order-1", fmt.Sprint("R", i), 7)) })
	}
	all.Wait()
	sum := int64(0)
	for _, r := range b.simulator.Ledger().Refunds {
		sum += r.AmountFen
	}
	require.EqualValues(t, 98, sum)
}

func TestPayersGetBackWhatTheyPaid(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 50)
	sum := int64(0)
	for _, fen := range []int64{33, 33, 1, 33} {
		r, err := b.simulator.RefundByConsole("order-1", simulator.ConsoleRefund{AmountFen: fen})
		require.NoError(t, err)
		sum += r.PayerFen
	}
	require.EqualValues(t, 50, sum, "rounding neither makes nor loses money")
}

func TestControlOfRefunds(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	shop := newReceiver(t, noContent)
	b.paid(t, "order-1", b.notifyURL(shop), 0)
	status, answer := b.post(t, "/control/orders/order-1/refund", `{"amount_fen":30,"reason":"by hand"}`)
	require.Equal(t, http.StatusOK, status, answer)
	var r simulator.Refund
	require.NoError(t, json.Unmarshal([]byte(answer), &r))
	require.Equal(t, simulator.OriginConsole, r.Origin)
	require.Equal(t, simulator.RefundProcessing, r.Status)

	path := "/control/refunds/" + r.OutRefundNo
	for _, step := range []struct {
		body   string
		status int
	}{
		{`{"status":"DONE"}`, http.StatusBadRequest}, {`{"colour":1}`, http.StatusBadRequest}, {`{"status":"PROCESSING"}`, http.StatusConflict},
		{`{"status":"ABNORMAL"}`, http.StatusOK}, {`{"status":"ABNORMAL"}`, http.StatusConflict},
		{`{"status":"SUCCESS"}`, http.StatusOK}, {`{"status":"CLOSED"}`, http.StatusConflict},
	} {
		status, answer = b.post(t, path, step.body)
		require.Equal(t, step.status, status, step.body+answer)
	}
	b.settled(t)
	events := map[string]int{}
	for _, got := range shop.all() {
		request, _ := b.parseRefund(t, got)
		events[request.EventType]++
	}
	require.Equal(t, map[string]int{"REFUND.ABNORMAL": 1, "REFUND.SUCCESS": 1}, events)
	_, answer = b.get(t, path)
	require.Contains(t, answer, `"status":"SUCCESS"`)
	_, answer = b.get(t, "/control/ledger")
	require.Contains(t, answer, r.RefundID)

	status, answer = b.post(t, "/control/refunds/later", `{"status":"CLOSED"}`)
	require.Equal(t, http.StatusAccepted, status, "an outcome may be planned: "+answer)
	for path, want := range map[string]int{"/control/orders/nothing/refund": http.StatusNotFound, "/control/orders/order-1/refund": http.StatusConflict} {
		status, answer = b.post(t, path, `{"amount_fen":71}`)
		require.Equal(t, want, status, answer)
		require.Contains(t, answer, `"error"`)
	}
	status, _ = b.get(t, "/control/refunds/nothing")
	require.Equal(t, http.StatusNotFound, status)
}

func TestOutcomesCanBePlanned(t *testing.T) {
	t.Parallel()
	b := newBench(t, fast)
	shop := newReceiver(t, noContent)
	b.paid(t, "order-1", b.notifyURL(shop), 0)
	service := b.refunds(t)
	for refund, outcome := range map[string]simulator.RefundStatus{"R1": simulator.RefundAbnormal, "R2": simulator.RefundClosed, "R3": simulator.RefundProcessing} {
		_, planned, err := b.simulator.SettleRefund(refund, simulator.RefundOutcome{Status: outcome})
		require.NoError(t, err)
		require.True(t, planned)
		_, _, err = service.Create(t.Context(), refundOf("order-1", refund, 10))
		require.NoError(t, err)
	}
	b.ended(t, "R1", simulator.RefundAbnormal)
	b.ended(t, "R2", simulator.RefundClosed)
	b.settled(t)
	require.Equal(t, simulator.RefundProcessing, b.ended(t, "R3", simulator.RefundProcessing).Status)
	statuses := map[string]string{}
	for _, got := range shop.all() {
		_, told := b.parseRefund(t, got)
		statuses[told.OutRefundNo] = told.RefundStatus
		require.Empty(t, told.SuccessTime)
	}
	require.Equal(t, map[string]string{"R1": "ABNORMAL", "R2": "CLOSED"}, statuses)
}

func TestFunds(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	service := b.refunds(t)
	_, answer := b.get(t, "/control/funds")
	require.JSONEq(t, `{"balance_fen":null}`, answer)
	status, answer := b.post(t, "/control/funds", `{"balance_fen":50}`)
	require.Equal(t, http.StatusOK, status, answer)

	_, _, err := service.Create(t.Context(), refundOf("order-1", "R1", 51))
	requireCode(t, err, http.StatusForbidden, "NOT_ENOUGH")
	require.Empty(t, b.simulator.Refunds("order-1"))
	_, answer = b.post(t, "/control/funds", `{"top_up_fen":1}`)
	require.JSONEq(t, `{"balance_fen":51}`, answer)
	_, _, err = service.Create(t.Context(), refundOf("order-1", "R1", 51))
	require.NoError(t, err, "the same number with the same parameters, after topping up")
	_, answer = b.get(t, "/control/funds")
	require.JSONEq(t, `{"balance_fen":0}`, answer)
	_, _, err = b.simulator.SettleRefund("R1", simulator.RefundOutcome{Status: simulator.RefundClosed, Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	_, answer = b.get(t, "/control/funds")
	require.JSONEq(t, `{"balance_fen":51}`, answer, "a closed refund comes back")

	for _, body := range []string{`{}`, `{"balance_fen":-1}`, `{"top_up_fen":-1}`, `{"unlimited":true,"top_up_fen":1}`, `{"balance":1}`} {
		status, _ = b.post(t, "/control/funds", body)
		require.Equal(t, http.StatusBadRequest, status, body)
	}
	_, answer = b.post(t, "/control/funds", `{"unlimited":true}`)
	require.JSONEq(t, `{"balance_fen":null}`, answer)
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// hash makes a short, valid number of anything.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

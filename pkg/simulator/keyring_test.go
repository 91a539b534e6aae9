package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/services/certificates"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// dayLength is a day of the switch: short enough for a whole switch and a whole
// rotation to pass within the five minutes that the SDK tolerates a clock to be off.
const dayLength = 20 * time.Second

// handClock is moved by the test alone.
type handClock struct {
	start time.Time
	moved atomic.Int64
}

func newHandClock() *handClock { return &handClock{start: time.Now()} }

func (c *handClock) now() time.Time           { return c.start.Add(time.Duration(c.moved.Load())) }
func (c *handClock) advance(by time.Duration) { c.moved.Add(int64(by)) }

func (c *handClock) drive(o *simulator.Options) {
	o.Now, o.Speed = c.now, float64(24*time.Hour)/float64(dayLength)
}

func (b bench) act(t *testing.T, action string) (int, simulator.KeyReport) {
	t.Helper()
	status, body := b.post(t, "/control/keys", `{"action":"`+action+`"}`)
	var report simulator.KeyReport
	require.NoError(t, json.Unmarshal([]byte(body), &report))
	return status, report
}

// notices pays n orders and counts the serials that their notices were signed
// under. Each must verify with the given verifier.
func (b bench) notices(t *testing.T, prefix string, n int, verifier auth.Verifier) map[string]int {
	t.Helper()
	shop := newReceiver(t, noContent)
	for i := range n {
		number := fmt.Sprintf("%s-%03d", prefix, i)
		b.place(t, number, b.notifyURL(shop))
		b.pay(t, number)
	}
	b.settled(t)
	handler, err := notify.NewRSANotifyHandler(b.merchant.APIv3Key, verifier)
	require.NoError(t, err)
	serials := map[string]int{}
	for _, r := range shop.all() {
		_, err := handler.ParseNotifyRequest(t.Context(), r.request(), &payments.Transaction{})
		require.NoError(t, err)
		serials[r.header.Get("Wechatpay-Serial")]++
	}
	require.Len(t, shop.all(), n)
	return serials
}

// requireAnswers wants both kinds of SDK client to be served.
func (b bench) requireAnswers(t *testing.T, clients ...*core.Client) {
	t.Helper()
	for _, client := range clients {
		_, _, err := (&jsapi.JsapiApiService{Client: client}).QueryOrderByOutTradeNo(t.Context(),
			jsapi.QueryOrderByOutTradeNoRequest{OutTradeNo: core.String("no-such-order"), Mchid: &b.merchant.Mchid})
		requireCode(t, err, http.StatusNotFound, "ORDER_NOT_EXIST")
		_, err = (&jsapi.JsapiApiService{Client: client}).CloseOrder(t.Context(),
			jsapi.CloseOrderRequest{OutTradeNo: core.String("no-such-order"), Mchid: &b.merchant.Mchid})
		require.NoError(t, err)
	}
}

// TestGreySwitch: a merchant with certificates takes the seven days to the public
// key, with a pause, a roll-back and a restart. The SDK's combined verifier accepts
// everything; answers follow what the request asked for throughout.
func TestGreySwitch(t *testing.T) {
	t.Parallel()
	clock, dir := newHandClock(), t.TempDir()
	b := newBench(t, clock.drive, func(o *simulator.Options) {
		o.Keys, o.StateDir = simulator.KeysPlatformCertificate, dir
	})
	certificate, public := b.merchant.PlatformSerial, b.merchant.PublicKeyID
	both := b.combined(t)
	byCertificate := b.certificateClient(t)
	require.Equal(t, map[string]int{certificate: 4}, b.notices(t, "before", 4, verifiers.NewSHA256WithRSAVerifier(b.certificates(t))))
	_, _, err := b.jsapi(t).QueryOrderByOutTradeNo(t.Context(), jsapi.QueryOrderByOutTradeNoRequest{
		OutTradeNo: core.String("no-such-order"), Mchid: &b.merchant.Mchid})
	requireCode(t, err, http.StatusBadRequest, "PARAM_ERROR")

	status, report := b.act(t, "start_switch")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, simulator.SwitchReport{Phase: "running", Day: 1, PublicKeyShare: 0.001}, report.Switch)
	status, _ = b.act(t, "start_switch")
	require.Equal(t, http.StatusConflict, status)
	b.requireAnswers(t, byCertificate, b.sdk(t))

	for _, want := range []struct {
		day    int
		share  float64
		public int // of 20 notices, give or take one
	}{{1, 0.001, 0}, {2, 0.01, 0}, {3, 0.05, 1}, {4, 0.10, 2}, {5, 0.20, 4}, {6, 0.50, 10}, {7, 1, 20}} {
		if want.day > 1 {
			clock.advance(dayLength)
		}
		if want.day == 4 {
			b.act(t, "pause")
			clock.advance(dayLength)
			require.Equal(t, simulator.SwitchReport{Phase: "paused", Day: 4, PublicKeyShare: 0.10}, b.simulator.Keys().Switch)
			b.act(t, "start_switch")
		}
		require.Equal(t, simulator.SwitchReport{Phase: "running", Day: want.day, PublicKeyShare: want.share}, b.simulator.Keys().Switch)
		serials := b.notices(t, fmt.Sprintf("day-%d", want.day), 20, both)
		require.InDelta(t, want.public, serials[public], 1)
		require.Equal(t, 20, serials[public]+serials[certificate])
		b.requireAnswers(t, byCertificate, b.sdk(t))
	}

	before := b.simulator.Keys()
	require.NoError(t, b.simulator.Close())
	options := simulator.Options{Merchant: b.merchant, StateDir: dir, Keys: simulator.KeysPlatformCertificate}
	clock.drive(&options)
	again, err := simulator.New(options)
	require.NoError(t, err)
	require.Equal(t, before, again.Keys(), "a restart changes nothing")
	report, err = again.ActOnKeys(simulator.KeyRollBack)
	require.NoError(t, err)
	require.Equal(t, simulator.SwitchReport{Phase: "rolled_back"}, report.Switch)
	_, err = again.ActOnKeys(simulator.KeyPause)
	require.ErrorContains(t, err, "not running")
	require.NoError(t, again.Close())
}

func TestRollBack(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBench(t, clock.drive)
	status, _ := b.act(t, "roll_back")
	require.Equal(t, http.StatusConflict, status, "there is nothing to roll back")
	b.act(t, "start_switch")
	clock.advance(6 * dayLength)
	require.Equal(t, map[string]int{b.merchant.PublicKeyID: 3}, b.notices(t, "switched", 3, b.combined(t)))
	b.act(t, "roll_back")
	require.Equal(t, map[string]int{b.merchant.PlatformSerial: 3}, b.notices(t, "rolled-back", 3, b.combined(t)))
	_, report := b.act(t, "start_switch")
	require.Equal(t, 1, report.Switch.Day, "it begins anew")
}

// TestRotation: the new certificate is listed beside the old one for ten days, signs
// in turn with it in the last five, and stays alone.
func TestRotation(t *testing.T) {
	t.Parallel()
	clock, dir := newHandClock(), t.TempDir()
	b := newBench(t, clock.drive, func(o *simulator.Options) {
		o.KeyMode, o.StateDir = simulator.KeyModePlatformCertificate, dir
	})
	old := b.merchant.PlatformSerial
	stale := verifiers.NewSHA256WithRSAVerifier(b.certificates(t)) // downloaded before
	status, report := b.act(t, "rotate_certificate")
	require.Equal(t, http.StatusOK, status)
	require.Len(t, report.Certificates, 2)
	fresh := report.Certificates[1].SerialNo
	require.Equal(t, []bool{true, false}, []bool{report.Certificates[0].Signs, report.Certificates[1].Signs})
	require.WithinDuration(t, clock.now().Add(10*dayLength), report.Certificates[0].ExpiresAt, time.Second)
	status, _ = b.act(t, "rotate_certificate")
	require.Equal(t, http.StatusConflict, status)

	clock.advance(dayLength)
	require.Equal(t, map[string]int{old: 4}, b.notices(t, "deploying", 4, stale), "for five days the old one signs")
	require.ElementsMatch(t, []string{old, fresh}, b.listed(t))

	clock.advance(6*dayLength + dayLength/2) // the middle of the overlap
	client := b.certificateClient(t)
	serials := b.notices(t, "overlap", 8, verifiers.NewSHA256WithRSAVerifier(b.certificates(t)))
	require.Equal(t, map[string]int{old: 4, fresh: 4}, serials)
	answers := map[string]int{}
	for range 6 {
		result, err := (&jsapi.JsapiApiService{Client: client}).CloseOrder(t.Context(),
			jsapi.CloseOrderRequest{OutTradeNo: core.String("no-such-order"), Mchid: &b.merchant.Mchid})
		require.NoError(t, err)
		answers[result.Response.Header.Get("Wechatpay-Serial")]++
	}
	require.Len(t, answers, 2, "answers are signed with either, too")

	clock.advance(3 * dayLength)
	require.Equal(t, []string{fresh}, b.listed(t))
	require.Equal(t, map[string]int{fresh: 4}, b.notices(t, "rotated", 4, verifiers.NewSHA256WithRSAVerifier(b.certificates(t))))
	handler, err := notify.NewRSANotifyHandler(b.merchant.APIv3Key, stale)
	require.NoError(t, err)
	shop := newReceiver(t, noContent)
	b.place(t, "stale-1", b.notifyURL(shop))
	b.pay(t, "stale-1")
	b.settled(t)
	_, err = handler.ParseNotifyRequest(t.Context(), shop.all()[0].request(), &payments.Transaction{})
	require.Error(t, err, "who kept only the old certificate is found out")

	require.NoError(t, b.simulator.Close())
	options := simulator.Options{Merchant: b.merchant, StateDir: dir, KeyMode: simulator.KeyModePlatformCertificate}
	clock.drive(&options)
	again, err := simulator.New(options)
	require.NoError(t, err)
	require.Equal(t, fresh, again.Keys().Certificates[0].SerialNo)
	_, err = again.ActOnKeys(simulator.KeyRotate)
	require.NoError(t, err, "the next rotation may begin")
	require.NoError(t, again.Close())
}

// listed are the serials that the SDK downloads.
func (b bench) listed(t *testing.T) []string {
	t.Helper()
	service := certificates.CertificatesApiService{Client: b.sdk(t)}
	answer, _, err := service.DownloadCertificates(t.Context())
	require.NoError(t, err)
	serials := make([]string, 0, len(answer.Data))
	for _, c := range answer.Data {
		serials = append(serials, *c.SerialNo)
	}
	return serials
}

func TestMerchantWithoutPlatformCertificates(t *testing.T) {
	t.Parallel()
	checks := func(t *testing.T, b bench) {
		t.Helper()
		service := certificates.CertificatesApiService{Client: b.sdk(t)}
		_, _, err := service.DownloadCertificates(t.Context())
		requireCode(t, err, http.StatusNotFound, "RESOURCE_NOT_EXISTS")
		verifier := verifiers.NewSHA256WithRSAPubkeyVerifier(b.merchant.PublicKeyID, b.merchant.WechatpayKey.PublicKey)
		require.Equal(t, map[string]int{b.merchant.PublicKeyID: 4}, b.notices(t, "public", 4, verifier))
		status, _ := b.act(t, "start_switch")
		require.Equal(t, http.StatusConflict, status, "there is nothing to switch from")
		require.Empty(t, b.simulator.Keys().Certificates)
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		checks(t, newBench(t, func(o *simulator.Options) { o.Keys = simulator.KeysPublicKey }))
	})
	t.Run("dropped", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		require.Equal(t, []string{b.merchant.PlatformSerial}, b.listed(t))
		status, report := b.act(t, "drop_certificates")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, simulator.KeysPublicKey, report.Keys)
		checks(t, b)
	})
}

func TestKeyActionsAreChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	status, body := b.post(t, "/control/keys", `{"action":"burn"}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "rotate_certificate")
	status, _ = b.post(t, "/control/keys", `{"acton":"pause"}`)
	require.Equal(t, http.StatusBadRequest, status)
	status, body = b.get(t, "/control/keys")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, b.merchant.PlatformSerial)
	require.NotContains(t, body+b.log.String(), "PRIVATE KEY")

	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	_, err = simulator.New(simulator.Options{Merchant: merchant, Keys: "some"})
	require.ErrorContains(t, err, `"some"`)
}

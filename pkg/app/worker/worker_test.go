package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/worker"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func TestWorker_paid_orders_are_told_of_once_each(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	r := w.start()
	w.ready(r)
	const orders = 40
	var placing sync.WaitGroup
	for i := range orders {
		placing.Go(func() { w.place(fmt.Sprintf("T%08d", i)) })
	}
	placing.Wait()
	for i := range orders {
		protocol := simulator.ProtocolV3
		if i%4 == 0 {
			protocol = simulator.ProtocolV2
		}
		_, err := w.platform.Pay(fmt.Sprintf("T%08d", i), simulator.PayRequest{Notify: protocol, Duplicates: 2})
		require.NoError(t, err)
	}
	w.allPaid(orders)
	require.Eventually(t, func() bool { return len(w.edge.envelopes()) == 3*orders }, soon, often)

	// The same packs twice more, in any order, on both lanes.
	again := w.edge.envelopes()
	rand.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	for _, env := range again {
		require.NoError(t, w.edge.packer.Publish(t.Context(), env))
	}
	w.allPaid(orders)
	require.Zero(t, w.count(`SELECT count(*) FROM dead_letters`))
	require.Zero(t, w.count(`SELECT count(*) FROM anomalies`))

	answer, err := w.api.Request(t.Context(), bus.RequestReadOrder, []byte(`{"mchid":"`+w.merchant.Mchid+`","out_trade_no":"T00000001"}`), 5*time.Second)
	require.NoError(t, err)
	require.Contains(t, string(answer), `"state":"paid"`)
	require.NoError(t, r.stop(), "a stop that was asked for is no error")
}

func TestWorker_shares_platform_certificates_and_verifies_with_its_own(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.ready(w.start())
	notify := w.connect("notify")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan bus.Platform, 16)
	go func() { _ = notify.WatchPlatform(ctx, func(p bus.Platform) { seen <- p }) }()
	require.Eventually(t, func() bool {
		select {
		case p := <-seen:
			keys := p.Keys[pay.MchID(w.merchant.Mchid)]
			return p.Verdict != nil && p.Verdict.OK && len(keys) == 1 && keys[0].ID == w.merchant.PlatformSerial
		default:
			return false
		}
	}, soon, often)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM platform_certificates`))
	answer, err := notify.Request(t.Context(), bus.RequestVerifyKeys, []byte(`{"mchid":"`+w.merchant.Mchid+`"}`), 20*time.Second)
	require.NoError(t, err)
	require.JSONEq(t, `{"ok":true}`, string(answer))
}

func TestWorker_a_payment_before_its_order_settles_when_the_order_appears(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.ready(w.start())
	// The very same prepay call, made behind the worker's back.
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	credentials := &merchant.Credentials{
		Merchant:   merchant.Merchant{MchID: pay.MchID(w.merchant.Mchid), Serial: w.merchant.Serial},
		PrivateKey: w.merchant.PrivateKey, APIv3Keys: []merchant.Secret{merchant.Secret(w.merchant.APIv3Key)},
		Keyring: merchant.NewKeyring(merchant.PublicKey{ID: w.merchant.PublicKeyID, Key: &w.merchant.WechatpayKey.PublicKey}),
	}
	client, err := wechatpay.NewClient(credentials, wechatpay.ClientOptions{BaseURL: w.baseURL})
	require.NoError(t, err)
	order := pay.Order{
		MchID: pay.MchID(w.merchant.Mchid), OutTradeNo: "T00000001", AppID: pay.AppID(w.merchant.Appid), Client: pay.ClientJSAPI, Protocol: pay.ProtocolV3,
		Description: "tea", Amount: 100, Currency: pay.CNY, OpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", ExpiresAt: expires,
	}
	env, _ := w.env()
	order.PrepayRequest, err = client.PrepayBody(order, strings.TrimRight(env.Config.PublicURL, "/")+"/notify/v3/"+w.merchant.Mchid)
	require.NoError(t, err)
	_, _, err = client.Prepay(t.Context(), order)
	require.NoError(t, err)
	_, err = w.platform.Pay("T00000001", simulator.PayRequest{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return w.count(`SELECT count(*) FROM dead_letters WHERE state = 'waiting' AND reason = 'unknown_order'`) == 1
	}, soon, often)

	result, replied, err := w.api.SubmitCommand(t.Context(), w.create("T00000001", expires), 20*time.Second)
	require.NoError(t, err)
	require.True(t, replied)
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Contains(t, string(result.Body), `"state":"paid"`)
	w.allPaid(1)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM dead_letters WHERE state = 'resolved'`))
}

func TestWorker_goes_on_after_database_and_broker_were_away(t *testing.T) {
	t.Parallel()
	server := testkit.OwnPostgres(t)
	require.NoError(t, server.CreateDatabase(t.Context(), "fenflow"))
	require.NoError(t, migrate(t.Context(), server.URL("fenflow")))
	w := newWorld(t, server.URL("fenflow"))
	r := w.start()
	w.ready(r)
	for i := range 20 {
		w.place(fmt.Sprintf("T%08d", i))
	}
	payFrom := func(from, to int) {
		for i := from; i < to; i++ {
			_, err := w.platform.Pay(fmt.Sprintf("T%08d", i), simulator.PayRequest{})
			require.NoError(t, err)
		}
	}
	payFrom(0, 5)
	require.NoError(t, server.Kill())
	payFrom(5, 10) // acknowledged while the database is away
	require.Eventually(t, func() bool { return len(w.edge.envelopes()) == 10 }, soon, often)
	require.False(t, r.health.Ready(t.Context()).Ready)
	require.NoError(t, server.Restart())
	payFrom(10, 15)
	require.NoError(t, w.broker.Stop())
	payFrom(15, 20) // not acknowledged: WeChat Pay repeats
	require.NoError(t, w.broker.Restart())
	w.allPaid(20)
	require.Zero(t, w.count(`SELECT count(*) FROM dead_letters`))
	w.ready(r)
}

func TestWorker_two_of_them_share_the_work_and_one_may_stop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	first, second := w.start(), w.start()
	w.ready(first)
	w.ready(second)
	for i := range 30 {
		w.place(fmt.Sprintf("T%08d", i))
	}
	for i := range 30 {
		if i == 15 {
			require.NoError(t, first.stop())
		}
		_, err := w.platform.Pay(fmt.Sprintf("T%08d", i), simulator.PayRequest{Duplicates: 1})
		require.NoError(t, err)
	}
	w.allPaid(30)
}

func TestWorker_declines_to_start_on_an_older_schema(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "empty", nil))
	env, _ := w.env()
	err := worker.Main(t.Context(), env)
	require.Equal(t, problem.MigrationsPending, problem.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "fenflow migrate up")
}

func TestWorker_takes_nothing_while_durability_is_not_proven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate), func(o *servers.NATSOptions) { o.ConfigFile, o.LazySync = "", true })
	r := w.start()
	var detail string
	require.Eventually(t, func() bool {
		for _, check := range r.health.Ready(t.Context()).Checks {
			if check.Name == "durability" {
				detail = check.Detail
			}
		}
		return strings.Contains(detail, "sync_interval")
	}, soon, often, "%s", detail)
	// A notification waits in the stream.
	require.NoError(t, w.edge.packer.Publish(t.Context(), wechatpay.Envelope{
		DeliveryID: "01980000-0000-7000-8000-000000000001", MchID: pay.MchID(w.merchant.Mchid), Kind: pay.DeliveryNotifyV3, ReceivedAt: time.Now().UTC(), Body: []byte("x"),
	}))
	require.NoError(t, r.stop())
	require.Zero(t, w.count(`SELECT count(*) FROM deliveries`))
	require.Contains(t, r.logs.String(), "sync_interval")
}

func TestWorker_logs_no_secret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	r := w.start()
	w.ready(r)
	w.place("T00000001")
	_, err := w.platform.Pay("T00000001", simulator.PayRequest{Duplicates: 1})
	require.NoError(t, err)
	w.allPaid(1)
	require.NoError(t, r.stop())
	said := r.logs.String()
	for _, secret := range []string{w.merchant.APIv3Key, w.merchant.APIv2Key, w.merchant.APIKey, "pw-worker", "ciphertext", "BEGIN PRIVATE"} {
		require.NotContains(t, said, secret)
	}
	require.Contains(t, said, "settled")
}

func TestWorker_reads_a_changed_configuration_without_a_restart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	r := w.start()
	w.ready(r)
	order := func(no string) string {
		cmd := w.create(no, time.Now().Add(time.Hour))
		cmd.Body = []byte(strings.ReplaceAll(string(cmd.Body), w.merchant.Appid, "wx9999999999999999"))
		result, replied, err := w.api.SubmitCommand(t.Context(), cmd, 20*time.Second)
		require.NoError(t, err)
		require.True(t, replied)
		return string(result.Body)
	}
	require.Contains(t, order("T00000001"), "is not one of merchant")
	file := filepath.Join(w.dir, "fenflow.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "appid: "+w.merchant.Appid, "appid: wx9999999999999999")), 0o600))
	r.reload <- struct{}{}
	require.Eventually(t, func() bool { return strings.Contains(r.logs.String(), "merchants changed") }, soon, often)
	require.NotContains(t, order("T00000002"), "is not one of merchant")
	// A file that does not parse changes nothing.
	require.NoError(t, os.WriteFile(file, []byte("merchants: ["), 0o600))
	r.reload <- struct{}{}
	require.Eventually(t, func() bool { return strings.Contains(r.logs.String(), "configuration was not read again") }, soon, often)
	require.NotContains(t, order("T00000003"), "is not one of merchant")
}

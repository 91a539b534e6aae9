package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

const patience = 60 * time.Second

// visitor is a shop, a buyer and a subscriber around one stack.
type visitor struct {
	t          *testing.T
	stack      *Stack
	shop       *shop
	platform   *platform
	subscriber *subscriber
}

func visit(t *testing.T, s *Stack) *visitor {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second}
	sub, err := subscribe(t.Context(), s.NATSURL(), "subscriber", s.passwords["subscriber"])
	require.NoError(t, err)
	t.Cleanup(sub.close)
	return &visitor{
		t: t, stack: s, subscriber: sub, shop: &shop{api: s.APIURL(), key: s.merchant.APIKey, client: client},
		platform: &platform{base: s.SimulatorURL(), client: client},
	}
}

func (v *visitor) order(no string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	_, err := v.shop.place(ctx, newOrder{
		OutTradeNo: no, AppID: v.stack.merchant.Appid, Client: "native", Description: "One pot of tea", AmountFen: 100, Currency: "CNY",
	})
	require.NoError(v.t, err)
}

// pay pays with the fields of the stand-in's pay request.
func (v *visitor) pay(no string, fields map[string]any) {
	v.t.Helper()
	body, err := json.Marshal(fields)
	require.NoError(v.t, err)
	status, answer, err := v.platform.call(v.t.Context(), http.MethodPost, "/control/orders/"+no+"/pay", body)
	require.NoError(v.t, err)
	require.Equal(v.t, http.StatusOK, status, string(answer))
}

func (v *visitor) acknowledged(n int) func() bool {
	return func() bool {
		summary, err := v.platform.deliveries(v.t.Context())
		return err == nil && summary.Acknowledged >= n
	}
}

func (v *visitor) received(n int) func() bool {
	return func() bool { return v.subscriber.paidCount() >= n }
}

// Stopping PostgreSQL stops settlement, not acknowledgement, also when the
// broker starts anew meanwhile.
func TestStack_acknowledges_while_PostgreSQL_is_away(t *testing.T) {
	t.Parallel()
	v := visit(t, startForTest(t))
	for _, no := range []string{"OUTAGE-1", "OUTAGE-2"} {
		v.order(no)
	}
	require.NoError(t, v.stack.postgres.Stop())
	v.pay("OUTAGE-1", nil)
	require.Eventually(t, v.acknowledged(1), patience, pollEvery)
	require.NoError(t, v.stack.Kill("nats"))
	v.pay("OUTAGE-2", nil)
	require.Eventually(t, v.acknowledged(2), patience, pollEvery)
	require.Zero(t, v.subscriber.paidCount())

	require.NoError(t, v.stack.postgres.Restart())
	require.Eventually(t, v.received(2), patience, pollEvery)
}

func TestStack_takes_v2_notifications(t *testing.T) {
	t.Parallel()
	v := visit(t, startForTest(t))
	for i, sign := range []simulator.SignType{simulator.SignMD5, simulator.SignHMAC} {
		no := "V2-ORDER-" + string(sign[:2])
		v.order(no)
		v.pay(no, map[string]any{"notify": "v2", "sign_type": sign, "duplicates": 2, "forged": 5})
		require.Eventually(t, v.received(i+1), patience, pollEvery)
	}
	require.Eventually(t, func() bool {
		summary, err := v.platform.deliveries(t.Context())
		return err == nil && summary.Pending == 0
	}, patience, pollEvery)
	summary, err := v.platform.deliveries(t.Context())
	require.NoError(t, err)
	require.Equal(t, 10, summary.Forged)
	require.Zero(t, summary.ForgedAccepted)
	require.Equal(t, 4, summary.Duplicates)
	got := v.subscriber.received()
	require.Len(t, got.paid, 2)
	require.Zero(t, got.repeated)
	require.Empty(t, got.bad)
}

// requireNoSecrets searches everything that the parts wrote for every secret
// of the run.
func requireNoSecrets(t *testing.T, s *Stack) {
	t.Helper()
	secrets := map[string]string{
		"APIv3 key": s.merchant.APIv3Key, "APIv2 key": s.merchant.APIv2Key, "API key": s.merchant.APIKey, "private key": "PRIVATE KEY",
	}
	for user, password := range s.passwords {
		secrets["NATS password of "+user] = password
	}
	logs, err := filepath.Glob(s.options.path("log", "*.log"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(logs), 5)
	for _, path := range logs {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		for name, secret := range secrets {
			require.False(t, bytes.Contains(raw, []byte(secret)), "%s holds the %s", filepath.Base(path), name)
		}
	}
}

// paid says whether and when an order's order.paid came.
func (v *visitor) paid(no string) (receipt, bool) {
	got, ok := v.subscriber.received().paid[no]
	return got, ok
}

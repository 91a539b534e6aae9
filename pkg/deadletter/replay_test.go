package deadletter_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/deadletter"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/settle"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const soon = 60 * time.Second

// shop is a merchant whose messages are settled as the worker settles them,
// with WeChat Pay on the one side and an operator on the other.
type shop struct {
	*bundle

	merchant simulator.Merchant
	platform *simulator.Simulator
	client   *wechatpay.Client
	public   string
	keys     *merchant.Credentials
	service  *settle.Service
	env      map[string]string // of the operator's command line

	mu      sync.Mutex
	arrived []wechatpay.Arrival
}

func openShop(t *testing.T) *shop {
	t.Helper()
	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	s := &shop{bundle: setup(t), merchant: m}
	s.platform, err = simulator.New(simulator.Options{Merchant: m, Logger: slog.New(slog.DiscardHandler), Speed: 100, KeyMode: simulator.KeyModePublicKey})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.platform.Close() })
	wechat := httptest.NewServer(s.platform.Handler())
	t.Cleanup(wechat.Close)
	edge := httptest.NewServer(s)
	t.Cleanup(edge.Close)
	s.public = edge.URL

	s.keys = &merchant.Credentials{
		Merchant:   merchant.Merchant{MchID: pay.MchID(m.Mchid), Serial: m.Serial, Apps: []merchant.App{{AppID: pay.AppID(m.Appid)}}},
		PrivateKey: m.PrivateKey, APIv3Keys: []merchant.Secret{merchant.Secret(m.APIv3Key)},
		Keyring: merchant.NewKeyring(merchant.PublicKey{ID: m.PublicKeyID, Key: &m.WechatpayKey.PublicKey}),
	}
	s.client, err = wechatpay.NewClient(s.keys, wechatpay.ClientOptions{BaseURL: wechat.URL})
	require.NoError(t, err)
	s.service = settle.New(settle.Options{
		Books: s.store, Merchants: s, Keys: s, Relay: s, Retry: func(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (int, error) {
			return s.sweeper.Retry(ctx, mchid, no)
		},
		Retryable: store.Retryable, Now: time.Now, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
	s.sweeper = deadletter.New(s.store, s.service, slog.New(slog.DiscardHandler))

	console := httptest.NewServer(operator.New(operator.Options{
		Books: s.store, Tokens: s.store, Retryable: store.Retryable, Now: time.Now, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	}).Handler())
	t.Cleanup(console.Close)
	token, sum, err := operator.Mint(rand.Reader)
	require.NoError(t, err)
	_, err = s.store.CreateToken(t.Context(), pay.Token{Name: "ada", Role: pay.TokenOperate, CreatedBy: "cli:test"}, sum)
	require.NoError(t, err)
	s.env = map[string]string{"FENFLOW_URL": console.URL, "FENFLOW_TOKEN": token}
	return s
}

// Credentials, Refresh and Hand are what settle has around it.
func (s *shop) Credentials(id pay.MchID) (*merchant.Credentials, bool) {
	return s.keys, id == s.keys.Merchant.MchID
}
func (s *shop) Refresh(context.Context, pay.MchID) error { return nil }
func (s *shop) Hand([]pay.Outgoing)                      {}

// ServeHTTP takes notifications as the edge does.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	headers := map[string]string{}
	for _, name := range wechatpay.SignatureHeaders() {
		if v := r.Header.Get(name); v != "" {
			headers[name] = v
		}
	}
	s.arrive(headers, body)
	w.WriteHeader(http.StatusNoContent)
}

func (s *shop) arrive(headers map[string]string, body []byte) {
	id, _ := uuid.NewV7()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, wechatpay.Arrival{Deliveries: 1, Envelope: wechatpay.Envelope{
		DeliveryID: pay.DeliveryID(id.String()), MchID: s.keys.Merchant.MchID, Kind: pay.DeliveryNotifyV3,
		ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), Headers: headers, Body: body,
	}})
}

// take settles what arrived since, n messages, and gives their ids.
func (s *shop) take(n int) []string {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.arrived) == n
	}, soon, 20*time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NoError(s.t, s.service.Settle(s.t.Context(), s.arrived))
	ids := make([]string, n)
	for i, a := range s.arrived {
		ids[i] = string(a.Envelope.DeliveryID)
	}
	s.arrived = nil
	return ids
}

func (s *shop) orderOf(no string, app pay.AppID) pay.Order {
	now := time.Now().UTC().Truncate(time.Second)
	return pay.Order{
		MchID: s.keys.Merchant.MchID, OutTradeNo: pay.OutTradeNo(no), AppID: app, Client: pay.ClientNative, Protocol: pay.ProtocolV3, Description: "tea",
		Amount: 100, Currency: pay.CNY, Digest: "d", PrepayRequest: []byte("{}"), CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(time.Hour), NextCheckAt: now.Add(time.Hour),
	}
}

// paidAtWechat is an order of which WeChat Pay knows, and the books do not.
func (s *shop) paidAtWechat(numbers ...string) {
	s.t.Helper()
	for _, no := range numbers {
		o := s.orderOf(no, pay.AppID(s.merchant.Appid))
		var err error
		o.PrepayRequest, err = s.client.PrepayBody(o, s.public+"/notify/v3/"+s.merchant.Mchid)
		require.NoError(s.t, err)
		_, _, err = s.client.Prepay(s.t.Context(), o)
		require.NoError(s.t, err)
		_, err = s.platform.Pay(no, simulator.PayRequest{})
		require.NoError(s.t, err)
	}
}

func (s *shop) placed(app pay.AppID, numbers ...string) {
	s.t.Helper()
	for _, no := range numbers {
		_, created, _, err := s.store.CreateOrder(s.t.Context(), s.orderOf(no, app))
		require.NoError(s.t, err)
		require.True(s.t, created)
	}
}

// genuineNonsense is signed by WeChat Pay and means nothing.
func (s *shop) genuineNonsense() {
	s.t.Helper()
	body, nonce, at := []byte(`{"id":"EV-1"}`), rand.Text(), strconv.FormatInt(time.Now().Unix(), 10)
	digest := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n", at, nonce, body))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.merchant.WechatpayKey, crypto.SHA256, digest[:])
	require.NoError(s.t, err)
	s.arrive(map[string]string{
		wechatpay.HeaderTimestamp: at, wechatpay.HeaderNonce: nonce, wechatpay.HeaderSerial: s.merchant.PublicKeyID,
		wechatpay.HeaderSignature: base64.StdEncoding.EncodeToString(signature), wechatpay.HeaderSignatureType: "WECHATPAY2-SHA256-RSA2048",
	}, body)
}

// became is what the command line says of a replay.
type became struct {
	Requested, Resolved int
	Open                []openAgain
	Waiting             []string
	exit                int
}

type openAgain struct {
	DeliveryID string `json:"delivery_id"`
	Reason     string
	Detail     string
}

// replay is the operator's command.
func (s *shop) replay(args ...string) (b became, err error) {
	var out, errs bytes.Buffer
	b.exit = cli.Run(s.t.Context(), cli.Deps{Stdout: &out, Stderr: &errs, Lookup: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok }},
		append([]string{"dead-letter", "replay", "--reason", "the orders and the key are there", "--json"}, args...))
	if err := json.Unmarshal(out.Bytes(), &b); err != nil {
		return b, fmt.Errorf("%w: %s%s", err, out.String(), errs.String())
	}
	return b, nil
}

func (s *shop) count(query string, args ...any) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), query, args...).Scan(&n))
	return n
}

func (b became) reasons() []string {
	var reasons []string
	for _, l := range b.Open {
		reasons = append(reasons, l.Reason)
	}
	slices.Sort(reasons)
	return reasons
}

func TestReplay_settles_what_can_be_settled_once_and_brings_the_rest_back(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	var lost []string
	for i := range 55 { // more than one act of the command line
		lost = append(lost, fmt.Sprintf("T%08d", i))
	}
	app := pay.AppID(s.merchant.Appid)

	// Payments whose orders are not in the books, one that never will be, one of another
	// app, a message that means nothing, and one whose key was not configured.
	s.placed("wx0000000000000000", "OTHERAPP1")
	s.paidAtWechat(append(slices.Clone(lost), "NOWHERE01", "OTHERAPP1")...)
	s.genuineNonsense()
	ids := s.take(58)
	s.placed(app, "KEYLESS01")
	s.paidAtWechat("KEYLESS01")
	ring := s.keys.Keyring
	s.keys.Keyring = merchant.NewKeyring()
	ids = append(ids, s.take(1)...)
	require.Equal(t, 56, s.count(`SELECT count(*) FROM dead_letters WHERE state = 'waiting' AND reason = 'unknown_order'`))
	require.Equal(t, 3, s.count(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND reason IN ('mismatch', 'malformed', 'bad_signature')`))
	s.exec(`UPDATE dead_letters SET first_failed_at = first_failed_at - interval '1 hour'`)
	require.NoError(t, s.sweeper.Sweep(t.Context()))
	require.Equal(t, 59, s.count(`SELECT count(*) FROM dead_letters WHERE state = 'open'`))

	// An operator puts right what can be put right. Two replay the same letters at the
	// same time, and two workers sweep.
	s.keys.Keyring = ring
	s.placed(app, lost...)
	ctx, stop := context.WithCancel(t.Context())
	var workers errgroup.Group
	for range 2 {
		workers.Go(func() error { return s.sweeper.Run(ctx) })
	}
	var operators errgroup.Group
	said := make([]became, 2)
	for i := range said {
		operators.Go(func() (err error) {
			said[i], err = s.replay(ids...)
			return err
		})
	}
	require.NoError(t, operators.Wait())
	for _, b := range said {
		require.Equal(t, 59, b.Requested)
		require.Equal(t, 56, b.Resolved)
		require.Equal(t, []string{"malformed", "mismatch", "unknown_order"}, b.reasons())
		require.Empty(t, b.Waiting)
		require.Equal(t, 5, b.exit)
	}
	require.Equal(t, 56, s.count(`SELECT count(*) FROM dead_letters WHERE state = 'resolved'`))
	require.Equal(t, 3, s.count(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND attempts > 1`))
	require.Equal(t, 56, s.count(`SELECT count(*) FROM orders WHERE state = 'paid'`))
	require.Equal(t, 56, s.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, 56, s.count(`SELECT count(DISTINCT out_trade_no) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, 59, s.count(`SELECT count(DISTINCT subject) FROM audit WHERE action = 'dead_letter.replay' AND actor = 'token:ada'`))
	// What one of them replayed, the other left alone, unless it was open again by then: a
	// refund's notice that was tried before its payment was booked.
	require.Equal(t, 56, s.count(`SELECT count(DISTINCT a.subject) FROM audit AS a JOIN dead_letters AS l ON l.mchid = a.mchid AND a.subject = l.delivery_id::text
		WHERE a.action = 'dead_letter.replay' AND l.state = 'resolved' AND a.detail ->> 'reason' = 'the orders and the key are there'`))
	require.Zero(t, s.count(`SELECT count(*) FROM (SELECT subject FROM audit WHERE action = 'dead_letter.replay' GROUP BY subject HAVING count(*) > 2) AS often`))

	// What is open still can be asked for by what is wrong with it. Nothing was waiting for
	// another ten minutes.
	again, err := s.replay("--where", "mchid="+s.merchant.Mchid, "--since", "2h", "--yes")
	require.NoError(t, err)
	require.Equal(t, []int{3, 0, 3, 5}, []int{again.Requested, again.Resolved, len(again.Open), again.exit})
	for _, l := range again.Open {
		require.NotEmpty(t, l.Detail)
		require.Contains(t, ids, l.DeliveryID)
	}
	s.placed(app, "NOWHERE01")
	last, err := s.replay("--where", "reason=unknown_order", "--yes")
	require.NoError(t, err)
	require.Equal(t, []int{1, 1, 0}, []int{last.Requested, last.Resolved, last.exit})
	require.Equal(t, 57, s.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	stop()
	require.NoError(t, workers.Wait())
}

package operator_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/uuid"
	_ "github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

const (
	shop  = pay.MchID("1900000109")
	other = pay.MchID("1900000110")
	price = pay.Fen(100)

	// bytesOfLetter are not even text.
	bytesOfLetter = "\x00\xff <xml>"
)

var noon = time.Date(2026, 3, 1, 4, 0, 0, 123456000, time.UTC)

// stage is the API on real books, with a token of each role.
type stage struct {
	*store.Store
	t       *testing.T
	sql     *sql.DB
	clock   *testkit.Clock
	handler http.Handler
	logs    *logs
	schema  *schema
	read    string
	operate string
}

type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

// setup makes a stage; change may put something else in the place of the books.
func setup(t *testing.T, change ...func(*operator.Options)) *stage {
	t.Helper()
	url := testkit.Database(t, "operator", migrate)
	books, err := store.Open(context.Background(), store.Config{URL: url, MaxConns: 4, Name: "operator test"})
	require.NoError(t, err)
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, books.Close())
		require.NoError(t, db.Close())
	})
	s := &stage{Store: books, t: t, sql: db, clock: testkit.NewClock(time.Now()), logs: &logs{}, schema: loadSchema(t)}
	o := operator.Options{
		Books: books, Tokens: books, Merchants: []pay.MchID{other}, Retryable: store.Retryable, Now: s.clock.Now,
		Log: slog.New(slog.NewTextHandler(s.logs, nil)), Registry: prometheus.NewRegistry(),
	}
	for _, c := range change {
		c(&o)
	}
	s.handler = operator.New(o).Handler()
	s.read, s.operate = s.mint("watch", pay.TokenRead), s.mint("night-shift", pay.TokenOperate)
	t.Cleanup(func() {
		require.NotContains(t, s.logs.String(), s.read)
		require.NotContains(t, s.logs.String(), s.operate)
		require.NotContains(t, s.logs.String(), "fft_", "no token is logged, known or not")
	})
	return s
}

func (s *stage) mint(name string, role pay.TokenRole) string {
	s.t.Helper()
	text, sum, err := operator.Mint(rand.Reader)
	require.NoError(s.t, err)
	created, err := s.CreateToken(s.t.Context(), pay.Token{Name: name, Role: role, CreatedBy: "cli:test"}, sum)
	require.NoError(s.t, err)
	require.True(s.t, created)
	return text
}

// reply is an answer that the schema allows.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) into(t *testing.T, document any) {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.body)
	require.NoError(t, json.Unmarshal([]byte(r.body), document))
}

// problem is what an answer says went wrong.
type problem struct {
	Code       string
	Status     int
	Detail     string
	NextStep   string `json:"next_step"`
	Errors     []struct{ Field, Message string }
	Candidates []struct {
		MchID      string
		OutTradeNo string `json:"out_trade_no"`
		FoundBy    string `json:"found_by"`
	}
}

func (r reply) problem(t *testing.T) problem {
	t.Helper()
	require.GreaterOrEqual(t, r.status, 400, r.body)
	require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
	var p problem
	require.NoError(t, json.Unmarshal([]byte(r.body), &p))
	require.Equal(t, r.status, p.Status)
	return p
}

func (s *stage) get(path string) reply { return s.do(http.MethodGet, path, "", s.read) }

func (s *stage) post(path, body string) reply { return s.do(http.MethodPost, path, body, s.operate) }

func (s *stage) do(method, path, body, token string) reply {
	s.t.Helper()
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, from)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return s.send(r)
}

// send has the handler answer and holds the answer against the schema.
func (s *stage) send(r *http.Request) reply {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	answer := reply{w.Code, w.Header(), w.Body.String()}
	s.schema.check(s.t, r, answer)
	require.Equal(s.t, "no-store", w.Header().Get("Cache-Control"))
	return answer
}

// schema is schema/openapi.yaml, made stricter: no object has a field that the
// schema does not name.
type schema struct {
	document *openapi3.T
	router   routers.Router
}

func loadSchema(t *testing.T) *schema {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromFile("../../schema/openapi.yaml")
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()))
	document.Servers = nil
	closed := false
	extended := map[*openapi3.Schema]bool{} // and those that extend them
	for _, s := range document.Components.Schemas {
		for _, part := range s.Value.AllOf {
			extended[part.Value], extended[s.Value] = true, true
		}
	}
	for _, s := range document.Components.Schemas {
		if !extended[s.Value] {
			s.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &closed}
		}
	}
	router, err := legacy.NewRouter(document)
	require.NoError(t, err)
	return &schema{document, router}
}

func (s *schema) check(t *testing.T, r *http.Request, answer reply) {
	t.Helper()
	var route *routers.Route
	var parameters map[string]string
	err := errors.New("no method of the schema")
	if slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}, r.Method) { // the router panics at methods that it never heard of
		route, parameters, err = s.router.FindRoute(r)
	}
	if err != nil { // no such address or method: a problem all the same
		var document any
		require.NoError(t, json.Unmarshal([]byte(answer.body), &document))
		require.NoError(t, s.document.Components.Schemas["Problem"].Value.VisitJSON(document))
		return
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	asked := &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route, Options: options}
	require.NoError(t, openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: answer.status, Header: answer.header, Body: io.NopCloser(strings.NewReader(answer.body)), Options: options,
	}), "%s %s: %s", r.Method, r.URL, answer.body)
}

func order(mchid pay.MchID, no pay.OutTradeNo) pay.Order {
	return pay.Order{
		MchID: mchid, OutTradeNo: no, AppID: "wx8888888888888888", Client: pay.ClientNative, Protocol: pay.ProtocolV3,
		Description: "One pot of <tea>", Amount: price, Currency: pay.CNY, Digest: strings.Repeat("9f", 32),
		CreatedAt: noon, ExpiresAt: noon.Add(2 * time.Hour), NextCheckAt: noon.Add(time.Minute), CheckAPI: pay.APIOrderQuery,
		PrepayRequest: []byte(`{"amount":{"total":100}}`),
	}
}

func (s *stage) place(mchid pay.MchID, no pay.OutTradeNo) pay.Order {
	s.t.Helper()
	return s.placeAt(mchid, no, noon)
}

func (s *stage) placeAt(mchid pay.MchID, no pay.OutTradeNo, at time.Time) pay.Order {
	s.t.Helper()
	o := order(mchid, no)
	o.CreatedAt = at
	o, created, _, err := s.CreateOrder(s.t.Context(), o)
	require.NoError(s.t, err)
	require.True(s.t, created)
	return o
}

func delivery(o pay.Order, transaction pay.TransactionID, notification string) pay.Delivery {
	return pay.Delivery{
		ID: pay.DeliveryID(uuid.Must(uuid.NewV7()).String()), MchID: o.MchID, Kind: pay.DeliveryNotifyV3, ReceivedAt: noon.Add(2 * time.Second),
		Headers: map[string]string{"Wechatpay-Serial": "PUB_KEY_ID_1"}, Body: []byte(bytesOfLetter),
		Position: pay.Position{Stream: "NOTIFY", Sequence: 7}, KeyID: "PUB_KEY_ID_1", NotificationID: notification, EventType: "TRANSACTION.SUCCESS",
		OutTradeNo: o.OutTradeNo, TransactionID: transaction,
	}
}

// pay has a notification arrive that the order is paid.
func (s *stage) pay(o pay.Order, transaction pay.TransactionID, notification string) pay.Delivery {
	s.t.Helper()
	d := delivery(o, transaction, notification)
	s.settle(pay.Entry{Delivery: &d, Observation: &pay.Observation{
		Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: d.ReceivedAt, KeyID: d.KeyID, MchID: o.MchID, OutTradeNo: o.OutTradeNo,
		AppID: o.AppID, TransactionID: transaction, Amount: price, PayerTotal: price, Currency: pay.CNY, PaidAt: noon.Add(time.Second), DeliveryID: d.ID,
	}})
	return d
}

// letter has a message arrive that cannot be settled.
func (s *stage) letter(o pay.Order, reason pay.LetterReason) pay.Delivery {
	s.t.Helper()
	d := delivery(o, "4200000000000000000000009999", "EV-"+uuid.NewString())
	s.settle(pay.Entry{Delivery: &d, Letter: &pay.LetterCause{Reason: reason, Detail: "it does not fit"}})
	return d
}

func (s *stage) settle(entry pay.Entry) {
	s.t.Helper()
	_, err := s.Settle(s.t.Context(), []pay.Entry{entry}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(s.t, err)
}

func (s *stage) text(query string, args ...any) string {
	s.t.Helper()
	var text string
	require.NoError(s.t, s.sql.QueryRowContext(s.t.Context(), query, args...).Scan(&text))
	return text
}

// broken are books that fail.
type broken struct {
	operator.Books
	err error
}

func (b broken) Overview(context.Context) (pay.Overview, error) { return pay.Overview{}, b.err }

// panicking are books with a bug.
type panicking struct{ operator.Books }

func (panicking) Overview(context.Context) (pay.Overview, error) { panic(errors.New("s3cret")) }

func numbered(prefix string, n int) pay.OutTradeNo {
	return pay.OutTradeNo(fmt.Sprintf("%s-%06d", prefix, n))
}

func bearer(token string) operatorapi.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

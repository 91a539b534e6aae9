package cli_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
)

// Tokens that the test's console knows.
var (
	reader   = "fft_" + strings.Repeat("r", 43)
	operator = "fft_" + strings.Repeat("o", 43)
)

// TestOperatorScripts holds what the command line says of answers that a test
// console keeps ready, curious ones too. Each request and each answer is
// checked against the schema.
func TestOperatorScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/operator",
		UpdateScripts: os.Getenv("FENFLOW_UPDATE_GOLDEN") != "",
		Setup: func(e *testscript.Env) error {
			console := httptest.NewServer(bySchema(t, readyAnswers(t)))
			e.Defer(console.Close)
			strange := httptest.NewServer(strangers())
			e.Defer(strange.Close)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // each command is a process, which the race detector lets linger for a second
			e.Setenv("FENFLOW_URL", console.URL)
			e.Setenv("STRANGE", strange.URL)
			e.Setenv("READ", reader)
			e.Setenv("OPERATE", operator)
			e.Setenv("FENFLOW_TOKEN", reader)
			return nil
		},
	})
}

func readyAnswers(t *testing.T) http.Handler {
	t.Helper()
	var slowed atomic.Bool
	mux := http.NewServeMux()
	file := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			raw, err := os.ReadFile(filepath.Join("testdata", "api", name))
			assert.NoError(t, err)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(raw)
		}
	}
	mux.HandleFunc("GET /operator/v1/status", file("status.json"))
	mux.HandleFunc("GET /operator/v1/orders", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case q.Get("mchid") == "190000010": // as a console says it
			refuse(w, &problem.Error{Kind: problem.Invalid, Detail: "1 field is invalid", Fields: []problem.Field{{Field: "mchid", Message: "is not a merchant"}}})
		case q.Get("state") == "closed" || q.Get("since") > "2026-06":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"orders":[]}`)
		case q.Get("cursor") == "":
			file("orders-1.json")(w, r)
		case slowed.CompareAndSwap(false, true): // the second page of the first listing
			w.Header().Set("Retry-After", "0")
			refuse(w, problem.New(problem.TooManyRequests, "50 requests a second"))
		default:
			file("orders-2.json")(w, r)
		}
	})
	mux.HandleFunc("GET /operator/v1/stories/{number}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("number") {
		case "TEA|*3", "4200001234202603020000000003":
			file("story.json")(w, r)
		case "SAME":
			refuse(w, problem.New(problem.AmbiguousNumber, "2 orders have it"),
				`"candidates":[{"mchid":"1900000109","out_trade_no":"SAME","found_by":"out_trade_no"},{"mchid":"1900000110","out_trade_no":"TEA-9","found_by":"out_refund_no"}]`)
		default:
			refuse(w, problem.New(problem.UnknownNumber, "nothing has the number "+r.PathValue("number")))
		}
	})
	mux.HandleFunc("GET /operator/v1/refunds", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("state") == "closed" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"refunds":[]}`)
			return
		}
		file("refunds.json")(w, r)
	})
	mux.HandleFunc("GET /operator/v1/refunds/{number}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("number") {
		case "R|3*@", "50000001":
			file("refund.json")(w, r)
		case "SAME":
			refuse(w, problem.New(problem.AmbiguousRefund, "2 refunds have it"),
				`"candidates":[{"mchid":"1900000109","out_trade_no":"TEA|*3","out_refund_no":"SAME","found_by":"out_refund_no"},{"mchid":"1900000110","out_trade_no":"TEA-9","out_refund_no":"R-9","found_by":"refund_id"}]`)
		default:
			refuse(w, problem.New(problem.UnknownRefund, ""))
		}
	})
	mux.HandleFunc("POST /operator/v1/refunds", file("refund.json"))
	mux.HandleFunc("POST /operator/v1/refunds/{number}/{act}", file("refund.json"))
	mux.HandleFunc("POST /operator/v1/orders/{number}/check", file("unchecked.json"))
	mux.HandleFunc("GET /operator/v1/dead-letters", func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case len(q["delivery_id"]) > 0:
			someLetters(w, q["delivery_id"])
		case q.Get("state") == "open" && q.Get("mchid") == "1900000119":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"letters":[]}`)
		case q.Get("state") == "open":
			file("letters-open.json")(w, r)
		default:
			file("letters.json")(w, r)
		}
	})
	mux.HandleFunc("POST /operator/v1/dead-letter-replays", replays)
	mux.HandleFunc("GET /operator/v1/dead-letter-groups", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("mchid") == "1900000119" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"groups":[{"mchid":"1900000119","reason":"unknown_order","state":"waiting","count":5,"oldest_at":"2026-03-02T08:00:00Z"}]}`)
			return
		}
		file("groups.json")(w, r)
	})
	mux.HandleFunc("GET /operator/v1/dead-letters/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.PathValue("id"), "09") {
			refuse(w, problem.New(problem.UnknownLetter, ""))
			return
		}
		file("letter.json")(w, r)
	})
	mux.HandleFunc("POST /operator/v1/dead-letters/{id}/discard", file("discarded.json"))
	mux.HandleFunc("GET /operator/v1/audit", file("audit.json"))
	mux.HandleFunc("GET /operator/v1/rejected", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("reason") == "unknown_serial" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"samples":[{"sequence":8,"mchid":"1900000109","reason":"unknown_serial","detail":"","received_at":"2026-03-02T08:00:00Z","bytes":5}]}`)
			return
		}
		file("rejected.json")(w, r)
	})
	mux.HandleFunc("GET /operator/v1/rejected/7", file("sample.json"))
	mux.HandleFunc("GET /operator/v1/rejected-verdicts", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sequence") == "8" {
			file("unpublished.json")(w, r)
			return
		}
		file("verdicts.json")(w, r)
	})
	mux.HandleFunc("POST /operator/v1/rejected-publications", file("unpublished.json"))
	mux.HandleFunc("GET /operator/v1/notifications", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"notifications":[],"next_cursor":"bGF0ZXI"}`)
	})
	mux.HandleFunc("GET /operator/v1/notifications/{id}", file("notification.json"))
	readyMenus(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); {
		case token != reader && token != operator:
			refuse(w, problem.New(problem.TokenRejected, ""))
		case token == reader && r.Method != http.MethodGet:
			refuse(w, problem.New(problem.Forbidden, `token "night-shift" has role read`))
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// oneLetter is a letter as it is after it was replayed. Its last digit says what
// became of it: 1 to 4 are resolved, 5 is waiting for its order, 6 is discarded,
// 7 an answer, 8 is not there, all others are open again.
func oneLetter(id string) map[string]any {
	l := map[string]any{
		"mchid": "1900000109", "delivery_id": id, "kind": "notify_v3", "reason": "mismatch", "detail": "appid wx1 is not the order's", "state": "open", "attempts": 2,
		"received_at": "2026-03-02T08:00:00Z", "first_failed_at": "2026-03-02T08:00:00Z", "last_failed_at": "2026-03-02T08:00:00Z",
	}
	switch id[len(id)-1] {
	case '1', '2', '3', '4':
		l["state"], l["resolved_at"] = "resolved", "2026-03-02T08:01:00Z"
	case '5':
		l["state"], l["reason"], l["next_retry_at"] = "waiting", "unknown_order", "2026-03-02T08:01:00Z"
	case '6':
		l["state"] = "discarded"
	case '7':
		l["kind"] = "answer"
	}
	return l
}

func someLetters(w http.ResponseWriter, ids []string) {
	letters := []any{}
	for _, id := range ids {
		if !strings.HasSuffix(id, "8") {
			letters = append(letters, oneLetter(id))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"letters": letters})
}

// replays takes everything that it is asked for.
func replays(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		DeliveryIDs []string `json:"delivery_ids"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"delivery_ids": asked.DeliveryIDs})
}

// refuse answers with a problem and members that problems do not have.
func refuse(w http.ResponseWriter, p *problem.Error, more ...string) {
	raw, _ := json.Marshal(problem.DocumentOf(p, ""))
	for _, m := range more {
		raw = append(bytes.TrimSuffix(raw, []byte("}")), ","+m+"}"...)
	}
	w.Header().Set("Content-Type", problem.ContentType)
	w.WriteHeader(p.Kind.Status())
	_, _ = w.Write(raw)
}

// strangers answer, but not as this version of the API does.
func strangers() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/newer/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", problem.ContentType)
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"type":"x","title":"something new","status":409,"code":"FEN-4999","detail":"the moon is full","next_step":"Wait for a new moon."}`)
	})
	mux.HandleFunc("/page/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello</html>") })
	mux.HandleFunc("/other/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"orders":5,"at":"noon"}`)
	})
	mux.HandleFunc("/down/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no upstream", http.StatusBadGateway) })
	mux.HandleFunc("/thief/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/newer/", http.StatusFound) })
	mux.HandleFunc("/busy/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		refuse(w, problem.New(problem.TooManyRequests, "ten unknown tokens came from this address"))
	})
	mux.HandleFunc("/loop/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"orders":[],"next_cursor":"same"}`)
	})
	return mux
}

// bySchema checks what passes through it.
func bySchema(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile("../../schema/openapi.yaml")
	require.NoError(t, err)
	doc.Servers = nil
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation())
	require.NoError(t, err)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, params, err := router.FindRoute(r)
		if !assert.NoError(t, err, r.URL) {
			return
		}
		in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
		}}
		refusedBySchema := openapi3filter.ValidateRequest(r.Context(), in)
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		if refusedBySchema != nil && recorded.Code < http.StatusBadRequest {
			t.Errorf("%s %s is not by the schema, and was answered: %v", r.Method, r.URL, refusedBySchema)
		}
		body := recorded.Body.Bytes()
		assert.NoError(t, openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: in, Status: recorded.Code, Header: recorded.Header(), Body: io.NopCloser(bytes.NewReader(body)), Options: in.Options,
		}), "%s %s", r.Method, r.URL)
		for name, values := range recorded.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(body)
	})
}

package command_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// wire stands between fenflow and the stand-in platform: it records prepay
// bodies and does what real lines do.
type wire struct {
	platform http.Handler
	mu       sync.Mutex
	bodies   [][]byte // of prepay calls
	made     map[string]int
	faults   map[string][]fault // by call
}

// callOf names a call of either protocol.
func callOf(r *http.Request) string {
	switch {
	case r.URL.Path == "/pay/unifiedorder", r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v3/pay/transactions/") && strings.Count(r.URL.Path, "/") == 4:
		return "prepay"
	case r.URL.Path == "/pay/closeorder", strings.HasSuffix(r.URL.Path, "/close"):
		return "close"
	case strings.HasPrefix(r.URL.Path, "/v3/refund/") && r.Method == http.MethodGet:
		return "refund_query"
	}
	return "query"
}

func (l *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	happens, call := works, callOf(r)
	if call == "prepay" {
		l.bodies = append(l.bodies, body)
	}
	l.made[call]++
	if rest := l.faults[call]; len(rest) > 0 {
		happens, l.faults[call] = rest[0], rest[1:]
	}
	l.mu.Unlock()
	happens(w, r, l.platform)
}

// fails lets the next prepay calls fail.
func (l *wire) fails(faults ...fault) { l.failsOn("prepay", faults...) }

// failsOn lets the next calls of one kind fail.
func (l *wire) failsOn(call string, faults ...fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[call] = append(l.faults[call], faults...)
}

func (l *wire) count(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made[call]
}

func (l *wire) prepays() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([][]byte(nil), l.bodies...)
}

func works(w http.ResponseWriter, r *http.Request, platform http.Handler) { platform.ServeHTTP(w, r) }

// answers refuses a call with WeChat's way of saying so.
func answers(status int, code string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", "08F78BB0")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"code":"` + code + `","message":"no"}`))
	}
}

// hangs carries the call out and loses the answer.
func hangs(_ http.ResponseWriter, r *http.Request, platform http.Handler) {
	platform.ServeHTTP(httptest.NewRecorder(), r)
	<-r.Context().Done()
}

// loses drops a call before it gets there.
func loses(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// breaks carries the call out, and a gateway answers in its place.
func breaks(w http.ResponseWriter, r *http.Request, platform http.Handler) {
	platform.ServeHTTP(httptest.NewRecorder(), r)
	w.WriteHeader(http.StatusBadGateway)
}

// tampers changes a byte of a signed answer.
func tampers(w http.ResponseWriter, r *http.Request, platform http.Handler) {
	recorder := httptest.NewRecorder()
	platform.ServeHTTP(recorder, r)
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(bytes.Replace(recorder.Body.Bytes(), []byte("wx"), []byte("xw"), 1))
}

// lags keeps the answer of the first call and gives it to those after, too: a
// platform whose parts do not agree yet. Its signature is genuine.
func lags(times int) []fault {
	var first *httptest.ResponseRecorder
	faults := make([]fault, times+1)
	for i := range faults {
		faults[i] = func(w http.ResponseWriter, r *http.Request, platform http.Handler) {
			if first == nil {
				first = httptest.NewRecorder()
				platform.ServeHTTP(first, r)
			}
			for name, values := range first.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(first.Code)
			_, _ = w.Write(first.Body.Bytes())
		}
	}
	return faults
}

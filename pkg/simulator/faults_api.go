package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Operations of the API, as faults and limits name them.
const (
	apiPrepay         = "prepay"
	apiQuery          = "query"
	apiClose          = "close"
	apiRefund         = "refund"
	apiRefundQuery    = "refund_query"
	apiAbnormalRefund = "abnormal_refund"
	apiCertificates   = "certificates"
	apiBill           = "bill"
	apiBillDownload   = "bill_download"
	apiEcho           = "echo"
)

func apis() []string {
	return []string{apiPrepay, apiQuery, apiClose, apiRefund, apiRefundQuery, apiAbnormalRefund,
		apiCertificates, apiBill, apiBillDownload, apiEcho, apiUnifiedOrder}
}

// apiOf names the operation of a v3 request.
func apiOf(r *http.Request) string {
	path := r.URL.Path
	switch {
	case strings.HasSuffix(path, "/apply-abnormal-refund"):
		return apiAbnormalRefund
	case strings.HasPrefix(path, "/v3/refund/"):
		return map[bool]string{true: apiRefundQuery, false: apiRefund}[r.Method == http.MethodGet]
	case strings.HasSuffix(path, "/close"):
		return apiClose
	case strings.HasPrefix(path, "/v3/pay/"):
		return map[bool]string{true: apiQuery, false: apiPrepay}[r.Method == http.MethodGet]
	case path == "/v3/certificates":
		return apiCertificates
	case strings.HasPrefix(path, "/v3/billdownload/"):
		return apiBillDownload
	case strings.HasPrefix(path, "/v3/bill/"):
		return apiBill
	}
	return apiEcho
}

// errNoAnswer makes the caller wait in vain: the connection is cut.
var errNoAnswer = errors.New("a fault keeps the answer back")

// perform does the work of a checked v3 call, with what limits and faults make of it.
func (s *Simulator) perform(c *call, work endpoint) (reply, error) {
	api, number := apiOf(c.request), ""
	if s.faults.armed.Load() {
		number = s.orderOf(c)
	}
	s.calls.count(api)
	if err := s.troubleBefore(c.request.Context(), api, number); err != nil {
		return reply{}, err
	}
	answer, err := work(c)
	if err != nil {
		return reply{}, s.signed(s.limits.failed(api, err), api, number)
	}
	if err := s.troubleAfter(c.request.Context(), api, number); err != nil {
		return reply{}, err
	}
	if spoil := s.spoilOf(api, number); spoil != "" {
		answer.body = spoiltBody{answer.body, spoil}
	}
	return answer, nil
}

// signed marks a refusal as one that gets a signature.
func (s *Simulator) signed(err error, api, outTradeNo string) error {
	var refused *refusal
	if errors.As(err, &refused) {
		_, unsigned := s.faults.fires(FaultRefusalUnsigned, api, outTradeNo)
		refused.signed = !unsigned
	}
	return err
}

// spoiltBody is an answer whose signature a fault will spoil.
type spoiltBody struct {
	body  any
	spoil Forgery
}

// unwrap separates an answer from what will be wrong with its signature.
func (a reply) unwrap() (reply, Forgery) {
	if wrapped, spoilt := a.body.(spoiltBody); spoilt {
		return reply{a.status, wrapped.body}, wrapped.spoil
	}
	return a, ""
}

// troubleBefore is what keeps a call, v3 or v2, from being carried out: a *refusal,
// errNoAnswer, or nothing. Who gets errNoAnswer must call cut.
func (s *Simulator) troubleBefore(ctx context.Context, api, outTradeNo string) error {
	if refused := s.limits.admit(api); refused != nil {
		return refused
	}
	if f, fires := s.faults.fires(FaultErrorBefore, api, outTradeNo); fires {
		return systemError(f)
	}
	if f, fires := s.faults.fires(FaultFrequencyLimited, api, outTradeNo); fires {
		return frequencyLimited(f)
	}
	if f, fires := s.faults.fires(FaultTimeoutBefore, api, outTradeNo); fires {
		s.hang(ctx, f.delayOr(unansweredFor))
		return errNoAnswer
	}
	return nil
}

// troubleAfter is what becomes of the answer to a call that was carried out, in the
// same terms.
func (s *Simulator) troubleAfter(ctx context.Context, api, outTradeNo string) error {
	if f, fires := s.faults.fires(FaultErrorAfter, api, outTradeNo); fires {
		return systemError(f)
	}
	if f, fires := s.faults.fires(FaultFrequencyLimitedAfter, api, outTradeNo); fires {
		return frequencyLimited(f)
	}
	if f, fires := s.faults.fires(FaultTimeoutAfter, api, outTradeNo); fires {
		s.hang(ctx, f.delayOr(unansweredFor))
		return errNoAnswer
	}
	return nil
}

// unansweredFor is twice what the official SDK waits for.
const unansweredFor = time.Minute

// hang waits, unless the caller goes away or the simulator is closed.
func (s *Simulator) hang(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.post.ctx.Done():
	}
}

// cut ends a connection without an answer. net/http knows this panic and keeps quiet.
func cut() { panic(http.ErrAbortHandler) }

func systemError(f Fault) *refusal {
	return &refusal{status: f.statusOr(http.StatusInternalServerError), code: "SYSTEM_ERROR",
		message: "the system is busy; try again later", log: []any{"fault", f.Kind}}
}

func frequencyLimited(f Fault) *refusal {
	return &refusal{status: f.statusOr(http.StatusTooManyRequests), code: "FREQUENCY_LIMITED",
		message: "too many requests; try again later with the same parameters", log: []any{"fault", f.Kind}}
}

// spoilOf picks what is wrong with the signature of an answer.
func (s *Simulator) spoilOf(api, outTradeNo string) Forgery {
	for _, spoil := range []struct {
		kind    FaultKind
		forgery Forgery
	}{
		{FaultAnswerSigntest, ForgedSigntest},
		{FaultAnswerTampered, ForgedTamperedBody},
		{FaultAnswerWrongSerial, ForgedUnknownSerial},
	} {
		if _, fires := s.faults.fires(spoil.kind, api, outTradeNo); fires {
			return spoil.forgery
		}
	}
	return ""
}

// spoilAnswer changes a signed answer. A tampered body still parses: it is followed
// by a blank. An empty body cannot be tampered with but by becoming one.
func (s *signers) spoilAnswer(h http.Header, spoil Forgery, body []byte) ([]byte, error) {
	switch spoil {
	case ForgedSigntest:
		probe, err := s.probeSignature()
		h.Set("Wechatpay-Signature", probe)
		return body, err
	case ForgedUnknownSerial:
		serial, err := s.random.hexUpper(20)
		h.Set("Wechatpay-Serial", serial)
		return body, err
	case ForgedTamperedBody:
		if len(body) == 0 {
			h.Set("Wechatpay-Nonce", "tampered") // a 204 has no body, but its nonce is signed too
			return body, nil
		}
		return append(body, ' '), nil
	default:
		return body, nil
	}
}

// orderOf finds the order that a v3 call is about; empty: none.
func (s *Simulator) orderOf(c *call) string {
	var body struct {
		OutTradeNo    string `json:"out_trade_no"`
		TransactionID string `json:"transaction_id"`
		OutRefundNo   string `json:"out_refund_no"`
	}
	_ = json.Unmarshal(c.body, &body) // what does not parse is about no order; the endpoint will say so
	if number := pathParam(c.request, "out_trade_no"); number != "" {
		return number
	}
	if body.OutTradeNo != "" {
		return body.OutTradeNo
	}
	for _, id := range []string{pathParam(c.request, "transaction_id"), body.TransactionID} {
		if order, known := s.books.transaction(id); known {
			return order.OutTradeNo
		}
	}
	for _, number := range []string{pathParam(c.request, "out_refund_no"), body.OutRefundNo} {
		if refund, known := s.books.knownRefund(number); known {
			return refund.OutTradeNo
		}
	}
	return ""
}

// outage is the middleware of platform_down: what people and tests use stays up.
func (s *Simulator) outage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isAPI(r.URL.Path) {
			if f, fires := s.faults.fires(FaultPlatformDown, "", ""); fires {
				s.beDown(w, f)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// isAPI tells the platform's own paths, v3 and v2, from /control and the pages.
func isAPI(path string) bool {
	for _, prefix := range []string{"/v3/", "/pay/", "/secapi/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// beDown cuts the connection; with a status it answers as a gateway without its
// servers does.
func (s *Simulator) beDown(w http.ResponseWriter, f Fault) {
	if f.Status == 0 {
		cut()
	}
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte("<html><body><h1>" + http.StatusText(f.Status) + "</h1></body></html>\n")) // the caller may be gone
}

package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
)

// maxRequestBytes is far above any documented request.
const maxRequestBytes = 128 << 10

// call is one authorized v3 request.
type call struct {
	request *http.Request
	body    []byte
}

// reply is a 2xx answer; body nil is an empty one.
type reply struct {
	status int
	body   any
}

// endpoint does the work of one v3 path. An error that is no refusal is a fault of
// the stand-in itself.
type endpoint func(*call) (reply, error)

// v3 wraps an endpoint in what all share: reading, authorizing, signing, logging.
func (s *Simulator) v3(work endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		started := s.now()
		answer, err := s.admit(r, w, work)
		if err == nil {
			err = s.answer(w, r, answer)
		}
		if errors.Is(err, errNoAnswer) {
			s.log.Warn("answer kept back", "method", r.Method, "uri", clip(r.RequestURI))
			cut()
		}
		var refused *refusal
		if err != nil && !errors.As(err, &refused) {
			refused = &refusal{status: http.StatusInternalServerError, code: "SYSTEM_ERROR",
				message: "the simulator failed", log: []any{"error", err}}
		}
		line := []any{"method", r.Method, "uri", clip(r.RequestURI), "took", s.now().Sub(started)}
		if refused == nil {
			s.log.Debug("request answered", append(line, "status", answer.status)...)
			return
		}
		line = append(line, "status", refused.status, "code", refused.code, "message", refused.message)
		s.log.Warn("request refused", append(line, refused.log...)...)
		s.refuse(w, r, refused)
	}
}

func (s *Simulator) admit(r *http.Request, w http.ResponseWriter, work endpoint) (reply, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if err != nil {
		return reply{}, &refusal{status: http.StatusRequestEntityTooLarge, code: "INVALID_REQUEST", message: "the body is too long or broke off"}
	}
	if refused := checkHeaders(r, body); refused != nil {
		return reply{}, refused
	}
	if refused := s.authorize(r, body); refused != nil {
		return reply{}, refused
	}
	if r.Method == http.MethodPost && r.URL.RawQuery != "" {
		return reply{}, requestError("query", "this request has no query string")
	}
	if asked := r.Header.Get("Wechatpay-Serial"); strings.HasPrefix(asked, publicKeyPrefix) &&
		(asked != s.merchant.PublicKeyID || !s.signers.keyring.hasPublicKey()) {
		return reply{}, requestError("header", "Wechatpay-Serial is not a public key id of this merchant")
	}
	return s.perform(&call{request: r, body: body}, work)
}

// checkHeaders wants what the general rules of API v3 ask of every request. The case
// of a media type says nothing (RFC 9110 section 8.3.1).
func checkHeaders(r *http.Request, body []byte) *refusal {
	accept := strings.ToLower(r.Header.Get("Accept"))
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case r.Header.Get("User-Agent") == "":
		return requestError("header", "User-Agent must not be empty")
	case r.URL.Path != billDownloadPath && !strings.Contains(accept, "application/json") && !strings.Contains(accept, "*/*"):
		return requestError("header", "Accept must be application/json")
	case len(body) > 0 && !strings.EqualFold(strings.TrimSpace(mediaType), "application/json"):
		return requestError("header", "Content-Type must be application/json")
	}
	return nil
}

// answer signs and writes a 2xx.
func (s *Simulator) answer(w http.ResponseWriter, r *http.Request, a reply) error {
	var body []byte
	a, spoil := a.unwrap()
	if file, unsigned := a.body.(fileBody); unsigned {
		s.answerFile(w, file, spoil)
		return nil
	}
	if a.body != nil {
		encoded, err := json.Marshal(a.body)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		body = encoded
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	key := s.signers.keyring.forAnswer(r.Header.Get("Wechatpay-Serial"))
	if err := s.signers.stamp(w.Header(), key, s.now(), body); err != nil {
		return fmt.Errorf("sign answer: %w", err)
	}
	body, err := s.signers.spoilAnswer(w.Header(), spoil, body)
	if err != nil {
		return fmt.Errorf("spoil answer: %w", err)
	}
	s.setRequestID(w, 0)
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // the caller may be gone; nobody else is to be told
	return nil
}

// refuse writes an error answer. What the gateway turns away and what breaks down is
// not signed, and a fault leaves away the signature of what the service refuses: the
// real platform promises one for a 2xx only.
func (s *Simulator) refuse(w http.ResponseWriter, r *http.Request, refused *refusal) {
	answer := struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Detail  *refusalDetail `json:"detail,omitempty"`
	}{refused.code, refused.message, refused.detail}
	s.setRequestID(w, refused.number)
	body, err := json.Marshal(answer)
	if err == nil && refused.signed {
		err = s.signers.stamp(w.Header(), s.signers.keyring.forAnswer(r.Header.Get("Wechatpay-Serial")), s.now(), body)
	}
	if err != nil {
		s.log.Error("a refusal was not signed", "error", err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(refused.status)
	_, _ = w.Write(body) // the caller may be gone
}

// setRequestID ends the id in the internal number, as WeChat's do.
func (s *Simulator) setRequestID(w http.ResponseWriter, number int) {
	id, err := s.random.hexUpper(18)
	if err != nil {
		id = "UNKNOWN" // only a broken random source comes here; the answer matters more
	}
	w.Header().Set("Request-Id", fmt.Sprintf("%s-%d", id, number))
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the caller may be gone
}

func (s *Simulator) queryByNumber(c *call) (reply, error) {
	if refused := s.checkQuery(c); refused != nil {
		return reply{}, refused
	}
	number, refused := pathNumber(c.request)
	if refused != nil {
		return reply{}, refused
	}
	order, known := s.books.order(number)
	return found(s.asSeen(order), known)
}

func (s *Simulator) queryByTransaction(c *call) (reply, error) {
	if refused := s.checkQuery(c); refused != nil {
		return reply{}, refused
	}
	order, known := s.books.transaction(pathParam(c.request, "transaction_id"))
	if order = s.asSeen(order); order.Payment == nil {
		known = false // not paid: WeChat's number leads nowhere yet
	}
	return found(order, known)
}

func found(order Order, known bool) (reply, error) {
	if !known {
		return reply{}, orderUnknown()
	}
	return reply{http.StatusOK, queriedTransaction(order)}, nil
}

// checkQuery wants mchid, and nothing else, in the query string.
func (s *Simulator) checkQuery(c *call) *refusal {
	query, err := url.ParseQuery(c.request.URL.RawQuery)
	if err != nil || len(query) != 1 || len(query["mchid"]) != 1 {
		return requestError("query", "the query string must be mchid=… and nothing else")
	}
	if query.Get("mchid") != s.merchant.Mchid {
		return invalidRequest(0, "mchid differs from the one in Authorization")
	}
	return nil
}

func (s *Simulator) closeOrder(c *call) (reply, error) {
	fields, refused := parseStrict(c.body, []rule{{name: "mchid", kind: text, must: true, min: 1, max: 32}})
	if refused != nil {
		return reply{}, refused
	}
	if fields["mchid"] != s.merchant.Mchid {
		return reply{}, invalidRequest(0, "mchid differs from the one in Authorization")
	}
	number, refused := pathNumber(c.request)
	if refused != nil {
		return reply{}, refused
	}
	return reply{status: http.StatusNoContent}, s.shut(number)
}

// pathParam undoes percent-encoding: chi hands out the path as it was sent when it
// differs from Go's own spelling, and out_trade_no may hold | and *.
func pathParam(r *http.Request, name string) string {
	raw := chi.URLParam(r, name)
	if plain, err := url.PathUnescape(raw); err == nil {
		return plain
	}
	return raw
}

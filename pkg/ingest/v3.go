package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// checkV3 verifies a v3 notification with public keys. WeChat Pay's own probes
// (signatures that begin with WECHATPAY/SIGNTEST/) are no special case: they
// must fail like any other wrong signature (doc 4013053249).
func (h *NotifyHandler) checkV3(w http.ResponseWriter, r *http.Request, env *wechatpay.Envelope) *refusal {
	if !httpedge.HasMediaType(r, "application/json") {
		return &refusal{status: http.StatusUnsupportedMediaType, outcome: WrongMediaType, message: "v3 notifications are application/json"}
	}
	headers, no := signatureHeaders(r.Header)
	if no != nil {
		return no
	}
	env.Headers = headers
	if no := h.read(w, r, env); no != nil {
		return no
	}
	keys := h.Keys.Of(env.MchID)
	if keys.Len() == 0 {
		h.refreshKeys(r.Context(), *env)
		return &refusal{status: http.StatusServiceUnavailable, outcome: NoKeys, message: fmt.Sprintf("no key of WeChat Pay is known for merchant %s: configure wechatpay_public_keys, or see why the worker fetched no platform certificate (`fenflow config check --secrets`)", env.MchID)}
	}
	if _, err := wechatpay.VerifySignature(*env, keys, env.ReceivedAt); err != nil {
		return h.refuseV3(r.Context(), *env, err)
	}
	return nil
}

// signatureHeaders takes the five headers as they came, each at most once.
// Without Signature-Type it is RSA; the other four must be there.
func signatureHeaders(h http.Header) (map[string]string, *refusal) {
	taken := make(map[string]string, len(wechatpay.SignatureHeaders()))
	for _, name := range wechatpay.SignatureHeaders() {
		switch values := h[http.CanonicalHeaderKey(name)]; {
		case len(values) > 1:
			return nil, &refusal{status: http.StatusBadRequest, outcome: BadHeader, message: "header " + name + " is there more than once"}
		case len(values) == 1 && values[0] != "":
			taken[name] = values[0]
		case name != wechatpay.HeaderSignatureType:
			return nil, &refusal{status: http.StatusBadRequest, outcome: BadHeader, message: "header " + name + " is missing: a proxy on the way must pass all Wechatpay-* headers unchanged"}
		}
	}
	return taken, nil
}

// refuseV3 answers what did not verify. Whatever it is, it is no 2xx. The
// detail of a VerifyError names header, serial and clock, and none of the body.
func (h *NotifyHandler) refuseV3(ctx context.Context, env wechatpay.Envelope, err error) *refusal {
	no := &refusal{status: http.StatusUnauthorized, outcome: BadSignature, message: "the signature was rejected", sample: true, serial: env.Headers[wechatpay.HeaderSerial]}
	var detailed *wechatpay.VerifyError
	if errors.As(err, &detailed) {
		no.message = detailed.Detail
	}
	switch wechatpay.ReasonOf(err) {
	case wechatpay.ReasonMissingHeader, wechatpay.ReasonMalformedHeader:
		no.status, no.outcome, no.sample = http.StatusBadRequest, BadHeader, false
	case wechatpay.ReasonTimestamp:
		no.outcome = WrongTimestamp
	case wechatpay.ReasonUnknownSerial:
		no.status, no.outcome = http.StatusServiceUnavailable, UnknownSerial
		h.refreshKeys(ctx, env)
	default:
		no.message += "; if WeChat Pay sent it and keeps sending it, run `fenflow config check --secrets`"
	}
	return no
}

// refreshKeys has the platform certificates fetched again. A public key never
// comes by itself: an operator must add it, so it raises an alert.
func (h *NotifyHandler) refreshKeys(ctx context.Context, env wechatpay.Envelope) {
	serial := env.Headers[wechatpay.HeaderSerial]
	if strings.HasPrefix(serial, merchant.PublicKeyIDPrefix) {
		h.Metrics.unknownKeys.WithLabelValues(string(env.MchID)).Inc()
		return
	}
	if m, known := h.Merchants.ByMchID(env.MchID); known && m.PlatformCertificates {
		h.refresh.ask(ctx, env.MchID)
	}
}

package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	subjectVerifyV2 = "fenflow.verify.v2"
	// verifyWait: with the publish's 2 s still well inside WeChat Pay's 5 s.
	verifyWait = time.Second
)

// sparesTheMessage says whether a worker's reason is about itself, such as a
// configuration that lags behind ours, and not about the message.
func sparesTheMessage(reason string) bool {
	return reason == "no_key" || reason == "internal" || reason == string(wechatpay.ReasonUnknownMerchant)
}

// v2Question is what a worker is asked: a v2 signature is made with a shared
// key, which the edge must not hold.
type v2Question struct {
	MchID   pay.MchID         `json:"mchid"`
	Kind    pay.DeliveryKind  `json:"kind"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"` // base64
}

type v2Verdict struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason"`
}

// checkV2 has a worker verify a v2 notification.
func (h *NotifyHandler) checkV2(w http.ResponseWriter, r *http.Request, env *wechatpay.Envelope) *refusal {
	if !httpedge.HasMediaType(r, "text/xml", "application/xml") {
		return &refusal{status: http.StatusUnsupportedMediaType, outcome: WrongMediaType, message: "v2 notifications are text/xml"}
	}
	if no := h.read(w, r, env); no != nil {
		return no
	}
	if hasDeclaration(env.Body) {
		return &refusal{status: http.StatusBadRequest, outcome: Malformed, message: "XML with DOCTYPE or ENTITY is refused", sample: true}
	}
	verdict, err := h.askV2(r.Context(), *env)
	switch {
	case err != nil:
		return &refusal{status: http.StatusServiceUnavailable, outcome: VerifierAway, message: "no worker answered in time", cause: err}
	case !verdict.OK && sparesTheMessage(verdict.Reason):
		return &refusal{status: http.StatusServiceUnavailable, outcome: NoKeys, message: fmt.Sprintf("the v2 key of merchant %s is not at hand: see api_v2_key_files (`fenflow config check --secrets`)", env.MchID)}
	case !verdict.OK:
		return &refusal{status: http.StatusUnauthorized, outcome: BadSignature, message: fmt.Sprintf("the message does not verify for merchant %s; run `fenflow config check --secrets`", env.MchID), sample: true, cause: fmt.Errorf("worker refused: %q", httpedge.Clip(verdict.Reason, 64))}
	}
	return nil
}

func (h *NotifyHandler) askV2(ctx context.Context, env wechatpay.Envelope) (v2Verdict, error) {
	question, err := json.Marshal(v2Question{MchID: env.MchID, Kind: env.Kind, Headers: env.Headers, Body: env.Body})
	if err != nil {
		return v2Verdict{}, fmt.Errorf("write question: %w", err)
	}
	raw, err := h.Worker.Request(ctx, subjectVerifyV2, question, verifyWait)
	if err != nil {
		return v2Verdict{}, fmt.Errorf("ask a worker to verify: %w", err)
	}
	var verdict v2Verdict
	if err := json.Unmarshal(raw, &verdict); err != nil {
		return v2Verdict{}, fmt.Errorf("read a worker's verdict: %w", err)
	}
	return verdict, nil
}

// hasDeclaration finds what no notification of WeChat Pay has and every XML
// attack begins with: it stands before the root element, or nowhere. The same
// letters in a shop's attach are data. The worker's parser refuses the rest.
func hasDeclaration(body []byte) bool {
	prolog, _, _ := bytes.Cut(bytes.ToUpper(body), []byte("<XML>"))
	return bytes.Contains(prolog, []byte("<!DOCTYPE")) || bytes.Contains(prolog, []byte("<!ENTITY"))
}

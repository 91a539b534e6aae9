package wechatpay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// call makes one signed call of protocol v3 and returns its verified answer. A
// refusal comes with its answer too where that was signed, and so is evidence.
func (c *Client) call(ctx context.Context, api *core.Client, method, path string, body []byte) (Answer, error) {
	var payload any
	if body != nil {
		payload = body
	}
	result, err := api.Request(ctx, method, c.base+path, http.Header{"Accept": {"application/json"}}, nil, payload, "application/json")
	if result != nil && result.Response != nil {
		defer func() { _ = result.Response.Body.Close() }()
	}
	if err != nil {
		return c.refused(ctx, result, err)
	}
	return c.read(result.Response)
}

func (c *Client) read(response *http.Response) (Answer, error) {
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, callError(nil, err) // the transport has read it already
	}
	return c.answer(response, text), nil
}

// refused holds an answer that is no success against its signature, which the
// SDK leaves unread: WeChat Pay does not sign every refusal, and the official
// tools verify successes only. One without any signature is taken as it is and
// marked as such; one whose signature is wrong, a probe's among them, says
// nothing at all (WeChat Pay doc 4013053249).
func (c *Client) refused(ctx context.Context, result *core.APIResult, err error) (Answer, error) {
	e := callError(result, err)
	if e.err != nil || !claimsSignature(result.Response.Header) {
		return Answer{}, e
	}
	if err := c.validator.Validate(ctx, result.Response); err != nil {
		return Answer{}, &CallError{
			Class: ClassUnknown, Protocol: e.Protocol, Status: e.Status, RequestID: e.RequestID,
			err: notVerified(result.Response, err),
		}
	}
	e.Verified = true
	answer, err := c.read(result.Response)
	if err != nil {
		return Answer{}, err
	}
	return answer, e
}

// claimsSignature: the serial alone may be an echo of the request's.
func claimsSignature(header http.Header) bool {
	for _, name := range []string{HeaderSignature, HeaderTimestamp, HeaderNonce} {
		if header.Get(name) != "" {
			return true
		}
	}
	return false
}

func (c *Client) answer(response *http.Response, body []byte) Answer {
	return Answer{
		Body: body, Headers: signatureHeadersOf(response.Header), ReceivedAt: c.now().UTC(),
		KeyID: strings.TrimSpace(response.Header.Get(HeaderSerial)), RequestID: shaped(response.Header.Get("Request-Id"), maxSerialBytes),
	}
}

func signatureHeadersOf(header http.Header) map[string]string {
	headers := map[string]string{}
	for _, name := range SignatureHeaders() {
		if v := header.Get(name); v != "" {
			headers[name] = v
		}
	}
	return headers
}

// ringVerifier lets the SDK verify answers with a merchant's keyring.
type ringVerifier struct {
	keys *merchant.Keyring
	now  func() time.Time
}

// Verify checks the signature of a message that the SDK has put together.
func (v ringVerifier) Verify(_ context.Context, serial, message, signature string) error {
	if len(serial) > maxSerialBytes || len(signature) > maxSignatureBytes || !printable(serial) {
		return reject(ReasonMalformedHeader, "a signature header is longer than any that is sent")
	}
	key, rejected := selectKey(v.keys, serial, v.now())
	if rejected != nil {
		return rejected
	}
	if !verifyMessage(key.Key, []byte(message), signature) {
		return &VerifyError{Reason: ReasonBadSignature, Serial: serial, Detail: "the signature is not one of key " + serial + " over these bytes"}
	}
	return nil
}

// GetSerial names the key that answers shall be signed with. Without one WeChat
// Pay signs with a platform certificate (WeChat Pay doc 4012791882).
func (v ringVerifier) GetSerial(context.Context) (string, error) {
	if id, ok := v.keys.PublicKeyID(); ok {
		return id, nil
	}
	return "", errors.New("no WeChat Pay public key is configured")
}

package wechatpay

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/signers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/validators"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// DefaultBaseURL is WeChat Pay's main host; api2 is its second
// (WeChat Pay doc 4013070356).
const (
	DefaultBaseURL   = "https://api.mch.weixin.qq.com"
	DefaultBackupURL = "https://api2.mch.weixin.qq.com"
)

// ClientOptions say where WeChat Pay is and how long to wait for it.
type ClientOptions struct {
	BaseURL   string // empty: WeChat Pay itself
	BackupURL string // tried when BaseURL cannot be reached; empty: none
	CAFile    string // PEM roots in place of the system's; for a stand-in
	RootCAs   *x509.CertPool
	Timeout   time.Duration     // of one call; 0: 10 s
	Transport http.RoundTripper // nil: one of its own
	Now       func() time.Time  // when answers came in; nil: time.Now
}

// Client calls WeChat Pay for one merchant. It may be used by many at a time.
type Client struct {
	cred *merchant.Credentials
	api  *core.Client
	base string
	now  func() time.Time
}

// NewClient makes a client. Keys that are put into the merchant's keyring later
// are used from then on.
func NewClient(cred *merchant.Credentials, o ClientOptions) (*Client, error) {
	if cred == nil || cred.PrivateKey == nil || cred.Merchant.Serial == "" {
		return nil, errors.New("make WeChat Pay client: calls are signed, and there is no private_key_file or no merchant_serial")
	}
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	base, err := parseBase("base_url", o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("make WeChat Pay client: %w", err)
	}
	client, err := newHTTPClient(o)
	if err != nil {
		return nil, fmt.Errorf("make WeChat Pay client: %w", err)
	}
	api, err := core.NewClientWithDialSettings(context.Background(), &core.DialSettings{
		HTTPClient: client,
		Signer: &signers.SHA256WithRSASigner{
			MchID: string(cred.Merchant.MchID), PrivateKey: cred.PrivateKey, CertificateSerialNo: cred.Merchant.Serial,
		},
		Validator: validators.NewWechatPayResponseValidator(ringVerifier{cred.Keyring, o.Now}),
	})
	if err != nil {
		return nil, fmt.Errorf("make WeChat Pay client: %w", err)
	}
	return &Client{cred: cred, api: api, base: base.Scheme + "://" + base.Host, now: o.Now}, nil
}

// Answer is a verified answer of WeChat Pay, as it came.
type Answer struct {
	Body       []byte
	Headers    map[string]string // of SignatureHeaders, those that were there
	KeyID      string            // the key that signed it
	RequestID  string
	ReceivedAt time.Time
}

// Prepay sends the stored bytes of an order, unchanged each time, and returns
// what a buyer's client pays with.
func (c *Client) Prepay(ctx context.Context, o pay.Order) (pay.Credential, Answer, error) {
	path, err := prepayPath(o)
	if err != nil {
		return pay.Credential{}, Answer{}, &CallError{Class: ClassConfig, err: err}
	}
	answer, err := c.call(ctx, c.api, http.MethodPost, path, o.PrepayRequest)
	if err != nil {
		return pay.Credential{}, answer, err
	}
	credential, err := parseCredential(o.Client, answer)
	return credential, answer, err
}

// QueryOrder asks what became of an order. What WeChat Pay does not know is an
// error that IsNotExist knows.
func (c *Client) QueryOrder(ctx context.Context, no pay.OutTradeNo) (OrderAnswer, error) {
	path := "/v3/pay/transactions/out-trade-no/" + url.PathEscape(string(no)) + "?mchid=" + url.QueryEscape(string(c.cred.Merchant.MchID))
	answer, err := c.call(ctx, c.api, http.MethodGet, path, nil)
	if err != nil {
		return OrderAnswer{Answer: answer}, err
	}
	t, rejected := parseTransaction(answer.Body)
	switch {
	case rejected != nil:
		return OrderAnswer{Answer: answer}, answer.unknown(fmt.Errorf("read order: %w", rejected))
	case t.MchID != c.cred.Merchant.MchID || t.OutTradeNo != no:
		return OrderAnswer{Answer: answer}, answer.unknown(errors.New("read order: the answer is about another order"))
	}
	return OrderAnswer{State: t.State, Transaction: t, Answer: answer}, nil
}

// call makes one signed call and returns its verified answer.
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
		return Answer{}, callError(result, err)
	}
	text, err := io.ReadAll(result.Response.Body)
	if err != nil {
		return Answer{}, callError(nil, err) // the transport has read it already
	}
	return c.answer(result.Response, text), nil
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

// unknown is an answer that is genuine and still says nothing certain.
func (a Answer) unknown(err error) *CallError {
	return &CallError{Class: ClassUnknown, Status: http.StatusOK, RequestID: a.RequestID, err: err}
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

package wechatpay

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"
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
	Transport http.RoundTripper // nil: one of its own; another one shows the client certificate itself
	Now       func() time.Time  // when answers came in; nil: time.Now
}

// Client calls WeChat Pay for one merchant, over both protocols. It may be used
// by many at a time.
type Client struct {
	cred      *merchant.Credentials
	api       *core.Client   // of protocol v3; nil: the merchant cannot sign its calls
	validator auth.Validator // of protocol v3
	plain     *http.Client   // of protocol v2
	secure    *http.Client   // the same, for calls that ask for a client certificate; nil: there is none
	base      string
	now       func() time.Time
}

// NewClient makes a client for those protocols whose keys the merchant has; a
// call of the other one fails as ClassConfig. Keys that are put into the
// merchant's keyring later are used from then on.
func NewClient(cred *merchant.Credentials, o ClientOptions) (*Client, error) {
	if cred == nil || !signsV3(cred) && !signsV2(cred) {
		return nil, errors.New("make WeChat Pay client: calls are signed, and there is neither a private_key_file with its merchant_serial (protocol v3) nor a key in api_v2_key_files (protocol v2)")
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
	c := &Client{cred: cred, base: base.Scheme + "://" + base.Host, now: o.Now}
	if c.plain, err = newHTTPClient(o, nil); err != nil {
		return nil, fmt.Errorf("make WeChat Pay client: %w", err)
	}
	if cred.ClientCertificate != nil {
		if c.secure, err = newHTTPClient(o, cred.ClientCertificate); err != nil {
			return nil, fmt.Errorf("make WeChat Pay client: %w", err)
		}
	}
	if !signsV3(cred) {
		return c, nil
	}
	c.validator = validators.NewWechatPayResponseValidator(ringVerifier{cred.Keyring, o.Now})
	if c.api, err = newAPI(cred, c.plain, c.validator); err != nil {
		return nil, fmt.Errorf("make WeChat Pay client: %w", err)
	}
	return c, nil
}

func signsV3(cred *merchant.Credentials) bool {
	return cred.PrivateKey != nil && cred.Merchant.Serial != ""
}

// newAPI is the official SDK's client, which signs, sends and verifies.
func newAPI(cred *merchant.Credentials, client *http.Client, validator auth.Validator) (*core.Client, error) {
	api, err := core.NewClientWithDialSettings(context.Background(), &core.DialSettings{
		HTTPClient: client,
		Signer: &signers.SHA256WithRSASigner{
			MchID: string(cred.Merchant.MchID), PrivateKey: cred.PrivateKey, CertificateSerialNo: cred.Merchant.Serial,
		},
		Validator: validator,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the SDK: %w", err)
	}
	return api, nil
}

// usable says whether the client can make calls of a protocol for a merchant.
// An order asked about under another merchant's name would seem not to exist.
func (c *Client) usable(mchid pay.MchID, protocol pay.Protocol) error {
	switch {
	case mchid != c.cred.Merchant.MchID:
		return misuse("it is about merchant %s, and this client is of merchant %s", mchid, c.cred.Merchant.MchID)
	case protocol == pay.ProtocolV2 && !signsV2(c.cred):
		return misuse("calls of protocol v2 are signed with an APIv2 key: set api_v2_key_files of merchant %s", mchid)
	case protocol == pay.ProtocolV2:
		return nil
	case protocol != pay.ProtocolV3 && protocol != "":
		return misuse("there is no protocol %q", clip(string(protocol)))
	case c.api == nil:
		return misuse("calls of protocol v3 are signed: set private_key_file and merchant_serial of merchant %s", mchid)
	}
	return nil
}

// misuse is a call that was not made, because it could not be made right.
func misuse(format string, args ...any) error {
	return &CallError{Class: ClassConfig, err: fmt.Errorf(format, args...)}
}

// Answer is a verified answer of WeChat Pay, as it came.
type Answer struct {
	Body       []byte
	Headers    map[string]string // of SignatureHeaders, those that were there
	KeyID      string            // the key that signed it
	RequestID  string
	ReceivedAt time.Time
}

// unknown is an answer that is genuine and still says nothing certain.
func (a Answer) unknown(err error) *CallError {
	return &CallError{Class: ClassUnknown, Status: http.StatusOK, RequestID: a.RequestID, err: err}
}

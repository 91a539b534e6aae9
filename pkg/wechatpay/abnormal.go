package wechatpay

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// Where the money of an abnormal refund can go (WeChat Pay doc 4012810603).
const (
	ToUserCard     = "USER_BANK_CARD"
	ToMerchantCard = "MERCHANT_BANK_CARD"
)

// AbnormalRequest says where the money of an abnormal refund shall go. ToUserCard
// needs the last three fields.
type AbnormalRequest struct {
	OutRefundNo pay.OutRefundNo
	Type        string // ToUserCard or ToMerchantCard
	BankType    string // such as ICBC_DEBIT: debit cards only
	BankAccount string
	RealName    string
}

// Format keeps a person's account and name out of logs, whatever the verb.
func (r AbnormalRequest) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "abnormal refund %s to %s", r.OutRefundNo, r.Type)
}

// LogValue keeps a person's account and name out of logs.
func (r AbnormalRequest) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// abnormalBody is the call on the wire; the last two are encrypted.
type abnormalBody struct {
	OutRefundNo pay.OutRefundNo `json:"out_refund_no"`
	Type        string          `json:"type"`
	BankType    string          `json:"bank_type,omitempty"`
	BankAccount string          `json:"bank_account,omitempty"`
	RealName    string          `json:"real_name,omitempty"`
}

// AbnormalBody makes the bytes of the call that sends an abnormal refund on its
// way again. Account and name are readable for WeChat Pay only: they are
// encrypted to the key that keyID names, empty where nothing is encrypted.
// Protocol v3 is the only one that has this call.
func (c *Client) AbnormalBody(r AbnormalRequest) (body []byte, keyID string, err error) {
	if err := r.check(); err != nil {
		return nil, "", fmt.Errorf("make abnormal refund body: %w", err)
	}
	w := abnormalBody{OutRefundNo: r.OutRefundNo, Type: r.Type, BankType: r.BankType}
	if r.BankAccount != "" || r.RealName != "" {
		key, ok := c.encryptionKey()
		if !ok {
			return nil, "", errors.New("make abnormal refund body: there is no key of WeChat Pay to encrypt with: set wechatpay_public_keys, or platform_certificates: true and wait until they are fetched")
		}
		keyID = key.ID
		if w.BankAccount, err = encryptOAEP(key.Key, r.BankAccount); err != nil {
			return nil, "", fmt.Errorf("make abnormal refund body: bank_account: %w", err)
		}
		if w.RealName, err = encryptOAEP(key.Key, r.RealName); err != nil {
			return nil, "", fmt.Errorf("make abnormal refund body: real_name: %w", err)
		}
	}
	if body, err = toJSON(w); err != nil {
		return nil, "", fmt.Errorf("make abnormal refund body: %w", err)
	}
	return body, keyID, nil
}

func (r AbnormalRequest) check() error {
	_, err := pay.ParseOutRefundNo(string(r.OutRefundNo))
	switch {
	case err != nil:
		return fmt.Errorf("refund number: %w", err)
	case r.Type != ToUserCard && r.Type != ToMerchantCard:
		return fmt.Errorf("type must be %s or %s", ToUserCard, ToMerchantCard)
	case r.Type == ToUserCard && (r.BankType == "" || r.BankAccount == "" || r.RealName == ""):
		return fmt.Errorf("type %s needs bank_type, bank_account and real_name", ToUserCard)
	}
	return nil
}

// encryptionKey is the WeChat Pay public key, or else the platform certificate
// that is valid now and stays so the longest.
func (c *Client) encryptionKey() (best merchant.PublicKey, ok bool) {
	if id, ok := c.cred.Keyring.PublicKeyID(); ok {
		return c.cred.Keyring.Find(id)
	}
	for _, key := range c.cred.Keyring.All() {
		if key.ValidAt(c.now()) && (!ok || key.NotAfter.After(best.NotAfter)) {
			best, ok = key, true
		}
	}
	return best, ok
}

// encryptOAEP is RSAES-OAEP with SHA-1, as the official SDK encrypts (utils,
// EncryptOAEPWithPublicKey); empty stays empty.
func encryptOAEP(key *rsa.PublicKey, plain string) (string, error) {
	if plain == "" {
		return "", nil
	}
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(plain), nil)
	if err != nil {
		return "", errors.New("it is too long to be encrypted")
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// ApplyAbnormal sends an abnormal refund on its way again. refundID is WeChat's
// number of it; keyID and body are what AbnormalBody gave.
func (c *Client) ApplyAbnormal(ctx context.Context, refundID, keyID string, body []byte) (RefundAnswer, error) {
	if err := c.usable(c.cred.Merchant.MchID, pay.ProtocolV3); err != nil {
		return RefundAnswer{}, err
	}
	var sent abnormalBody
	if err := json.Unmarshal(body, &sent); err != nil || sent.OutRefundNo == "" || refundID == "" {
		return RefundAnswer{}, misuse("the stored request is no abnormal refund, or it has no refund_id")
	}
	api := c.api
	if keyID != "" {
		api = core.NewClientWithValidator(c.api, namedKey{c.validator, keyID})
	}
	answer, err := c.call(ctx, api, http.MethodPost, refundsPath+"/"+url.PathEscape(refundID)+"/apply-abnormal-refund", body)
	if err != nil {
		return RefundAnswer{Answer: answer}, err
	}
	a, err := readRefundV3(answer, sent.OutRefundNo)
	if err == nil && a.RefundID != refundID {
		return RefundAnswer{Answer: answer}, answer.unknown(errors.New("read refund: the answer is about another refund"))
	}
	return a, err
}

// namedKey names another key than the usual one in Wechatpay-Serial: that under
// which the body's fields are encrypted.
type namedKey struct {
	auth.Validator
	id string
}

// GetAcceptSerial names the key.
func (n namedKey) GetAcceptSerial(context.Context) (string, error) { return n.id, nil }

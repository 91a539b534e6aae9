package wechatpay

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	algorithmAESGCM = "AEAD_AES_256_GCM"
	apiV3KeyBytes   = 32 // AES-256; crypto/aes would take 16 and 24 as well
	gcmNonceBytes   = 12 // cipher.AEAD.Open panics on any other length
	gcmTagBytes     = 16
)

// Event types that are acted upon (WeChat Pay docs 4012791861 and 4012791865).
const (
	EventTransactionSuccess = "TRANSACTION.SUCCESS"
	EventRefundSuccess      = "REFUND.SUCCESS"
	EventRefundAbnormal     = "REFUND.ABNORMAL"
	EventRefundClosed       = "REFUND.CLOSED"
)

// noticeV3 is a v3 notification on the wire. Unknown fields are ignored:
// WeChat Pay adds some at any time.
type noticeV3 struct {
	ID           string      `json:"id"`
	CreatedAt    *time.Time  `json:"create_time"`
	EventType    string      `json:"event_type"`
	ResourceType string      `json:"resource_type"`
	Summary      string      `json:"summary"`
	Resource     *resourceV3 `json:"resource"`
}

// resourceV3 is something encrypted under the APIv3 key.
type resourceV3 struct {
	OriginalType   string `json:"original_type"`
	Algorithm      string `json:"algorithm"`
	Ciphertext     string `json:"ciphertext"`
	AssociatedData string `json:"associated_data"`
	Nonce          string `json:"nonce"`
}

func openV3(n Notification, env Envelope, cred *merchant.Credentials) (Notification, *VerifyError) {
	keyID, err := VerifySignature(env, cred.Keyring, env.ReceivedAt)
	if err != nil {
		return n, asRejection(err)
	}
	var notice noticeV3
	if err := json.Unmarshal(env.Body, &notice); err != nil || notice.Resource == nil {
		return n, reject(ReasonMalformed, "the body is signed by %s and is no JSON object with a resource", keyID)
	}
	for name, value := range map[string]string{"id": notice.ID, "event_type": notice.EventType} {
		if rejected := checkNumber(name, value, true); rejected != nil {
			return n, rejected
		}
	}
	plain, rejected := notice.Resource.decrypt(cred.APIv3Keys)
	if rejected != nil {
		return n, rejected
	}
	n.Protocol, n.KeyID, n.ID, n.EventType = pay.ProtocolV3, keyID, notice.ID, notice.EventType
	return n.readV3(plain)
}

func asRejection(err error) *VerifyError {
	var e *VerifyError
	if errors.As(err, &e) {
		return e
	}
	return reject(ReasonMalformed, "it could not be verified")
}

// readV3 reads the decrypted resource.
func (n Notification) readV3(plain []byte) (Notification, *VerifyError) {
	switch n.EventType {
	case EventTransactionSuccess:
		t, rejected := parseTransaction(plain)
		if rejected == nil {
			rejected = n.about(string(t.MchID))
		}
		n.Kind, n.Transaction = NotificationTransaction, &t
		return n, rejected
	case EventRefundSuccess, EventRefundAbnormal, EventRefundClosed:
		r, mchid, rejected := parseRefundNotice(plain)
		if rejected == nil {
			rejected = n.about(mchid)
		}
		n.Kind, n.Refund = NotificationRefund, &r
		return n, rejected
	}
	if !json.Valid(plain) {
		return n, reject(ReasonMalformed, "the decrypted resource is no JSON")
	}
	n.Kind = NotificationOther
	return n, nil
}

// decrypt tries each APIv3 key in turn: after a change of keys WeChat Pay may
// still repeat what it encrypted under the previous one.
func (r resourceV3) decrypt(keys []merchant.Secret) ([]byte, *VerifyError) {
	plain, _, rejected := r.open(keys)
	return plain, rejected
}

// open is decrypt that also says which key it was, from 1.
func (r resourceV3) open(keys []merchant.Secret) (plain []byte, place int, rejected *VerifyError) {
	if r.Algorithm != algorithmAESGCM {
		return nil, 0, reject(ReasonMalformed, "the resource is encrypted with an algorithm other than %s", algorithmAESGCM)
	}
	rejected = reject(ReasonDecryptFailed, "no APIv3 key is configured: set api_v3_key_files of this merchant")
	for i, key := range keys {
		if len(key.Reveal()) != apiV3KeyBytes {
			rejected = reject(ReasonDecryptFailed, "an APIv3 key has %d bytes instead of %d: correct api_v3_key_files", len(key.Reveal()), apiV3KeyBytes)
			continue
		}
		plain, failed := decryptGCM([]byte(key.Reveal()), r.Nonce, r.AssociatedData, r.Ciphertext)
		if failed == nil {
			return plain, i + 1, nil
		}
		rejected = failed
	}
	return nil, 0, rejected
}

// decryptGCM opens AEAD_AES_256_GCM. The length of the key is the caller's
// business; everything else is checked here.
func decryptGCM(key []byte, nonce, associatedData, ciphertext string) ([]byte, *VerifyError) {
	if len(nonce) != gcmNonceBytes {
		return nil, reject(ReasonDecryptFailed, "the nonce has %d bytes instead of %d", len(nonce), gcmNonceBytes)
	}
	sealed, err := base64.StdEncoding.DecodeString(ciphertext)
	if err != nil {
		return nil, reject(ReasonDecryptFailed, "the ciphertext is not base64")
	}
	if len(sealed) < gcmTagBytes {
		return nil, reject(ReasonDecryptFailed, "the ciphertext has %d bytes, fewer than its tag", len(sealed))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, reject(ReasonDecryptFailed, "an APIv3 key has %d bytes", len(key))
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, reject(ReasonDecryptFailed, "the cipher could not be made")
	}
	plain, err := aead.Open(nil, []byte(nonce), sealed, []byte(associatedData))
	if err != nil {
		return nil, reject(ReasonDecryptFailed, "no configured APIv3 key decrypts it: if the key was changed, list the previous one in api_v3_key_files, too")
	}
	return plain, nil
}

// transactionV3 is a transaction on the wire.
type transactionV3 struct {
	AppID         string     `json:"appid"`
	MchID         string     `json:"mchid"`
	OutTradeNo    string     `json:"out_trade_no"`
	TransactionID string     `json:"transaction_id"`
	TradeType     string     `json:"trade_type"`
	TradeState    string     `json:"trade_state"`
	BankType      string     `json:"bank_type"`
	Attach        string     `json:"attach"`
	SuccessTime   *time.Time `json:"success_time"`
	Payer         struct {
		OpenID string `json:"openid"`
	} `json:"payer"`
	Amount struct {
		Total      int64  `json:"total"`
		PayerTotal *int64 `json:"payer_total"`
		Currency   string `json:"currency"`
	} `json:"amount"`
}

func parseTransaction(plain []byte) (Transaction, *VerifyError) {
	var w transactionV3
	if err := json.Unmarshal(plain, &w); err != nil {
		return Transaction{}, reject(ReasonMalformed, "the transaction is not JSON of the documented shape%s", where(err))
	}
	t := Transaction{
		MchID: pay.MchID(w.MchID), AppID: pay.AppID(w.AppID), OutTradeNo: pay.OutTradeNo(w.OutTradeNo),
		TransactionID: pay.TransactionID(w.TransactionID), State: TradeState(w.TradeState),
		TradeType: w.TradeType, BankType: w.BankType, OpenID: pay.OpenID(w.Payer.OpenID), Attach: w.Attach,
		Total: pay.Fen(w.Amount.Total), PayerTotal: pay.Fen(w.Amount.Total), Currency: w.Amount.Currency,
	}
	if w.Amount.PayerTotal != nil {
		t.PayerTotal = pay.Fen(*w.Amount.PayerTotal)
	}
	if t.Currency == "" {
		t.Currency = pay.CNY
	}
	if w.SuccessTime != nil {
		t.PaidAt = w.SuccessTime.UTC()
	}
	return t, t.check()
}

// refundV3 is a refund notice on the wire: it has refund_status where the API
// has status.
type refundV3 struct {
	MchID           string     `json:"mchid"`
	OutTradeNo      string     `json:"out_trade_no"`
	TransactionID   string     `json:"transaction_id"`
	OutRefundNo     string     `json:"out_refund_no"`
	RefundID        string     `json:"refund_id"`
	RefundStatus    string     `json:"refund_status"`
	SuccessTime     *time.Time `json:"success_time"`
	ReceivedAccount string     `json:"user_received_account"`
	Amount          struct {
		Total       int64 `json:"total"`
		Refund      int64 `json:"refund"`
		PayerTotal  int64 `json:"payer_total"`
		PayerRefund int64 `json:"payer_refund"`
	} `json:"amount"`
}

func parseRefundNotice(plain []byte) (r RefundNotice, mchid string, rejected *VerifyError) {
	var w refundV3
	if err := json.Unmarshal(plain, &w); err != nil {
		return r, "", reject(ReasonMalformed, "the refund is not JSON of the documented shape%s", where(err))
	}
	r = RefundNotice{
		OutTradeNo: pay.OutTradeNo(w.OutTradeNo), TransactionID: pay.TransactionID(w.TransactionID),
		OutRefundNo: pay.OutRefundNo(w.OutRefundNo), RefundID: w.RefundID, Status: w.RefundStatus, ReceivedAccount: w.ReceivedAccount,
		Total: pay.Fen(w.Amount.Total), Refund: pay.Fen(w.Amount.Refund),
		PayerTotal: pay.Fen(w.Amount.PayerTotal), PayerRefund: pay.Fen(w.Amount.PayerRefund),
	}
	if w.SuccessTime != nil {
		r.SucceededAt = w.SuccessTime.UTC()
	}
	return r, w.MchID, r.check()
}

// where names the field that has the wrong type. The error's own text is not
// used: it quotes what it found.
func where(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return ": look at " + clip(wrong.Field)
	}
	return ""
}

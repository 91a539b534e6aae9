package wechatpay

import (
	"crypto/aes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// What return_code and result_code say.
const (
	successV2 = "SUCCESS"
	failV2    = "FAIL"
)

// Layouts of v2 times, which are Beijing time without saying so.
const (
	layoutV2      = "20060102150405"
	layoutV2Human = "2006-01-02 15:04:05"
)

// beijing is UTC+8, without daylight saving since 1991.
func beijing() *time.Location { return time.FixedZone("UTC+8", 8*60*60) }

// openV2Pay verifies and reads a v2 payment notification. v2 has neither
// timestamp nor nonce that binds: a replay is genuine, and changes nothing.
func openV2Pay(n Notification, env Envelope, cred *merchant.Credentials) (Notification, *VerifyError) {
	fields, rejected := parseXML(env.Body, "xml")
	if rejected != nil {
		return n, rejected
	}
	if n.KeyID, rejected = verifyV2(fields, cred.APIv2Keys); rejected != nil {
		return n, rejected
	}
	if fields["return_code"] != successV2 {
		return n, reject(ReasonMalformed, "return_code is not %s", successV2)
	}
	if rejected = n.about(fields["mch_id"]); rejected != nil {
		return n, rejected
	}
	state := TradePayError
	if fields["result_code"] == successV2 {
		state = TradeSuccess
	}
	t, rejected := fields.transaction(state)
	n.Protocol, n.EventType, n.Kind, n.Transaction = pay.ProtocolV2, string(env.Kind), NotificationTransaction, &t
	return n, rejected
}

// VerifyV2 says whether a v2 notification was made with one of the merchant's
// keys, whatever it says: what is genuine and cannot be read must become a
// letter, and not be refused as if it were forged. A refund notice is not
// signed; that it decrypts is all that can be known.
func VerifyV2(env Envelope, cred *merchant.Credentials) error {
	if cred == nil || cred.Merchant.MchID != env.MchID {
		return reject(ReasonUnknownMerchant, "there are no credentials of merchant %s here", env.MchID)
	}
	fields, rejected := parseXML(env.Body, "xml")
	if rejected == nil {
		switch env.Kind {
		case pay.DeliveryNotifyV2Pay:
			_, rejected = verifyV2(fields, cred.APIv2Keys)
		case pay.DeliveryNotifyV2Refund:
			_, _, rejected = decryptReqInfo(fields["req_info"], cred.APIv2Keys)
		default:
			rejected = reject(ReasonMalformed, "a delivery of kind %q is no v2 notification", env.Kind)
		}
	}
	if rejected != nil {
		return rejected
	}
	return nil
}

// transaction reads an order: of a notification, or of the answer to a query,
// which has the same elements and its state besides.
func (f fieldsV2) transaction(state TradeState) (Transaction, *VerifyError) {
	t := Transaction{
		MchID: pay.MchID(f["mch_id"]), AppID: pay.AppID(f["appid"]), OutTradeNo: pay.OutTradeNo(f["out_trade_no"]),
		TransactionID: pay.TransactionID(f["transaction_id"]), State: state,
		TradeType: f["trade_type"], BankType: f["bank_type"], OpenID: pay.OpenID(f["openid"]),
		Attach: f["attach"], Currency: f["fee_type"],
	}
	if t.Currency == "" {
		t.Currency = pay.CNY
	}
	var rejected *VerifyError
	if t.Total, rejected = f.fen("total_fee"); rejected != nil {
		return t, rejected
	}
	if t.PayerTotal, rejected = f.fen("cash_fee"); rejected != nil {
		return t, rejected
	}
	if f["cash_fee"] == "" {
		t.PayerTotal = t.Total
	}
	if t.PaidAt, rejected = f.time("time_end", layoutV2); rejected != nil {
		return t, rejected
	}
	return t, t.check()
}

// openV2Refund decrypts and reads a v2 refund notice. Nobody signed it, and
// ECB can be cut and pasted, so it is only a hint.
func openV2Refund(n Notification, env Envelope, cred *merchant.Credentials) (Notification, *VerifyError) {
	fields, rejected := parseXML(env.Body, "xml")
	if rejected != nil {
		return n, rejected
	}
	if fields["return_code"] != successV2 {
		return n, reject(ReasonMalformed, "return_code is not %s", successV2)
	}
	if rejected = n.about(fields["mch_id"]); rejected != nil {
		return n, rejected
	}
	inner, keyID, rejected := decryptReqInfo(fields["req_info"], cred.APIv2Keys)
	if rejected != nil {
		return n, rejected
	}
	r, rejected := inner.refund()
	n.Protocol, n.KeyID, n.EventType = pay.ProtocolV2, keyID, string(env.Kind)
	n.Kind, n.Refund = NotificationRefund, &r
	return n, rejected
}

func (f fieldsV2) refund() (r RefundNotice, rejected *VerifyError) {
	r = RefundNotice{
		OutTradeNo: pay.OutTradeNo(f["out_trade_no"]), TransactionID: pay.TransactionID(f["transaction_id"]),
		OutRefundNo: pay.OutRefundNo(f["out_refund_no"]), RefundID: f["refund_id"], Status: f["refund_status"],
		ReceivedAccount: f["refund_recv_accout"], Hint: true, // spelled so
	}
	if r.Total, rejected = f.fen("total_fee"); rejected != nil {
		return r, rejected
	}
	if r.Refund, rejected = f.fen("refund_fee"); rejected != nil {
		return r, rejected
	}
	if r.PayerRefund, rejected = f.fen("cash_refund_fee"); rejected != nil {
		return r, rejected
	}
	if r.SucceededAt, rejected = f.time("success_time", layoutV2Human); rejected != nil {
		return r, rejected
	}
	return r, r.check()
}

// decryptReqInfo opens AES-256-ECB with PKCS#7 padding, whose key is the MD5
// of the APIv2 key in lower-case hex. A wrong key may leave valid padding by
// chance; it does not leave the XML.
func decryptReqInfo(text string, keys []merchant.Secret) (fieldsV2, string, *VerifyError) {
	plain, keyID, _, rejected := openReqInfo(text, keys)
	if rejected != nil {
		return nil, "", rejected
	}
	fields, rejected := parseXML(plain, "root")
	return fields, keyID, rejected
}

// openReqInfo gives the text, and which key it was, from 1.
func openReqInfo(text string, keys []merchant.Secret) (plain []byte, keyID string, place int, rejected *VerifyError) {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, "", 0, reject(ReasonDecryptFailed, "req_info is not base64 of whole AES blocks")
	}
	for i, key := range keys {
		if key == "" {
			continue
		}
		plain, ok := decryptECB(reqInfoKey(key), sealed)
		if !ok {
			continue
		}
		if _, rejected := parseXML(plain, "root"); rejected == nil {
			return plain, keyIDV2(i, "AES-256-ECB"), i + 1, nil
		}
	}
	return nil, "", 0, reject(ReasonDecryptFailed, "none of the %d configured APIv2 keys decrypts req_info: compare api_v2_key_files with the merchant platform", len(keys))
}

func reqInfoKey(key merchant.Secret) []byte {
	sum := md5.Sum([]byte(key.Reveal()))
	return []byte(hex.EncodeToString(sum[:]))
}

func decryptECB(key, sealed []byte) ([]byte, bool) {
	block, err := aes.NewCipher(key)
	if err != nil || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, false
	}
	plain := make([]byte, len(sealed))
	for i := 0; i < len(sealed); i += aes.BlockSize {
		block.Decrypt(plain[i:i+aes.BlockSize], sealed[i:i+aes.BlockSize])
	}
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > aes.BlockSize {
		return nil, false
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			return nil, false
		}
	}
	return plain[:len(plain)-padding], true
}

// fen reads an amount, which v2 writes in decimal digits; empty is 0.
func (f fieldsV2) fen(name string) (pay.Fen, *VerifyError) {
	text := f[name]
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, reject(ReasonMalformed, "%s is not a whole number of fen", name)
	}
	return pay.Fen(n), nil
}

func (f fieldsV2) time(name, layout string) (time.Time, *VerifyError) {
	text := f[name]
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.ParseInLocation(layout, text, beijing())
	if err != nil {
		return time.Time{}, reject(ReasonMalformed, "%s is not a time of the form %s", name, layout)
	}
	return at.UTC(), nil
}

// AckV2 is the answer to a v2 notification: compact, because one with white
// space in it has been reported not to stop the repeats.
func AckV2(ok bool, msg string) []byte {
	code := failV2
	if ok {
		code = successV2
	}
	return []byte("<xml><return_code><![CDATA[" + code + "]]></return_code><return_msg><![CDATA[" + cdata(msg) + "]]></return_msg></xml>")
}

// cdata keeps what could end the section, or is no character of XML, out of it.
func cdata(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r < ' ' || r == ']' || r == 0xFFFE || r == 0xFFFF {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}

package simulator

import (
	"crypto/hmac"
	"crypto/md5" // what protocol v2 signs with unless asked otherwise
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"strconv"
	"strings"
)

// SignType of protocol v2.
type SignType string

// The two ways in which v2 signs.
const (
	SignMD5  SignType = "MD5"
	SignHMAC SignType = "HMAC-SHA256"
)

// v2Fields are the elements of one XML message, apart from sign.
type v2Fields map[string]string

// signV2 covers every non-empty element but sign, in ASCII order, and the key
// (WeChat Pay wiki, jsapi chapter 4_3).
func signV2(fields v2Fields, key string, signType SignType) string {
	return signText(v2Text(fields, sortedKeys(fields), keep)+"key="+key, key, signType)
}

func signText(text, key string, signType SignType) string {
	sum := md5.New()
	if signType == SignHMAC {
		sum = hmac.New(sha256.New, []byte(key))
	}
	sum.Write([]byte(text)) // a hash never returns an error
	return strings.ToUpper(hex.EncodeToString(sum.Sum(nil)))
}

// xmlOf writes <xml> with every value in CDATA. Values never hold control
// characters: the request rules refuse them.
func xmlOf(fields v2Fields) []byte {
	var out strings.Builder
	out.WriteString("<xml>")
	for _, name := range sortedKeys(fields) {
		value := strings.ReplaceAll(fields[name], "]]>", "]]]]><![CDATA[>")
		out.WriteString("<" + name + "><![CDATA[" + value + "]]></" + name + ">")
	}
	out.WriteString("</xml>")
	return []byte(out.String())
}

// payNoticeV2 are the fields of a v2 payment notification (wiki, chapter 9_7).
func (s *signers) payNoticeV2(o Order, p Payment, signType SignType) (v2Fields, error) {
	nonce, err := s.random.nonce()
	if err != nil {
		return nil, err
	}
	fields := v2Fields{
		"return_code": "SUCCESS", "result_code": "SUCCESS",
		"appid": o.Appid, "mch_id": o.Mchid, "nonce_str": nonce,
		"openid": p.Openid, "is_subscribe": "N", "trade_type": o.TradeType, "bank_type": bankType,
		"total_fee": fen(p.AmountFen), "cash_fee": fen(p.PayerFen), "fee_type": "CNY",
		"transaction_id": p.TransactionID, "out_trade_no": o.OutTradeNo,
		"time_end": p.PaidAt.In(beijing()).Format("20060102150405"),
	}
	if o.Attach != "" {
		fields["attach"] = o.Attach
	}
	if o.DeviceInfo != "" {
		fields["device_info"] = o.DeviceInfo
	}
	if p.CouponFen > 0 {
		fields["coupon_fee"], fields["coupon_count"] = fen(p.CouponFen), "1"
		fields["coupon_id_0"], fields["coupon_fee_0"], fields["coupon_type_0"] = "109519", fen(p.CouponFen), "CASH"
		fields["settlement_total_fee"] = fen(p.AmountFen)
	}
	if signType == SignHMAC {
		fields["sign_type"] = string(SignHMAC)
	}
	return fields, nil
}

func fen(n int64) string { return strconv.FormatInt(n, 10) }

// acknowledgedV2 wants XML with return_code SUCCESS; the status alone says nothing.
func acknowledgedV2(answer []byte) bool {
	var ack struct {
		XMLName    xml.Name `xml:"xml"`
		ReturnCode string   `xml:"return_code"`
	}
	return xml.Unmarshal(answer, &ack) == nil && ack.ReturnCode == "SUCCESS"
}

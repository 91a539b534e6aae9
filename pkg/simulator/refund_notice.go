package simulator

import (
	"bytes"
	"crypto/aes"
	"crypto/md5" // what the key of protocol v2's req_info is made with
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// refundNotice says what /control wants of the notices about a refund's new status.
// The zero value posts one, in the refund's own protocol.
type refundNotice struct {
	Notify     Protocol
	URL        string
	Duplicates int
}

// refundResource is the inside of a v3 refund notification: refund_status is spelled
// otherwise than in the API, and there is no appid (WeChat Pay doc 4012791865).
type refundResource struct {
	Mchid               string             `json:"mchid"`
	TransactionID       string             `json:"transaction_id"`
	OutTradeNo          string             `json:"out_trade_no"`
	RefundID            string             `json:"refund_id"`
	OutRefundNo         string             `json:"out_refund_no"`
	RefundStatus        RefundStatus       `json:"refund_status"`
	SuccessTime         string             `json:"success_time,omitempty"`
	UserReceivedAccount string             `json:"user_received_account"`
	Amount              refundNoticeAmount `json:"amount"`
}

type refundNoticeAmount struct {
	Total       int64 `json:"total"`
	Refund      int64 `json:"refund"`
	PayerTotal  int64 `json:"payer_total"`
	PayerRefund int64 `json:"payer_refund"`
}

// refundNotices writes what is posted about a refund that has come to an end;
// nothing is posted about PROCESSING.
func (s *Simulator) refundNotices(want refundNotice, r Refund, o Order, at time.Time) ([]Notice, error) {
	protocol := want.Notify
	if protocol == "" {
		protocol = r.Notify
	}
	if protocol == ProtocolNone || r.Status == RefundProcessing {
		return nil, nil
	}
	id, err := s.random.noticeID()
	if err != nil {
		return nil, err
	}
	n := Notice{ID: id, OutTradeNo: r.OutTradeNo, OutRefundNo: r.OutRefundNo, Protocol: protocol, Kind: Genuine,
		URL: want.URL, Duplicates: want.Duplicates, CreatedAt: at}
	if n.URL == "" {
		n.URL = s.refundNoticeURL(r, o, protocol)
	}
	write := s.signers.refundNoticeV3
	if protocol == ProtocolV2 {
		write = s.signers.refundNoticeV2
	}
	body, err := write(id, r, o, at)
	n.Body = string(body)
	if err != nil {
		return nil, err
	}
	return s.multiply([]Notice{n}, func(again *Notice) error {
		again.ID, err = s.random.noticeID()
		if err != nil {
			return err
		}
		body, err := write(again.ID, r, o, at)
		again.Body = string(body)
		return err
	})
}

// refundNoticeURL is the refund's own notify_url or else the order's. Where that is
// an address of fenflow's for another kind of notice, the right one is beside it.
func (s *Simulator) refundNoticeURL(r Refund, o Order, p Protocol) string {
	url := r.NotifyURL
	if url == "" {
		url = o.NotifyURL
	}
	v3, pay, refund := "/notify/v3/"+s.merchant.Mchid, "/notify/v2/"+s.merchant.Mchid+"/pay", "/notify/v2/"+s.merchant.Mchid+"/refund"
	right, wrong := v3, []string{pay, refund}
	if p == ProtocolV2 {
		right, wrong = refund, []string{pay, v3}
	}
	for _, end := range wrong {
		if base, found := strings.CutSuffix(url, end); found {
			return base + right
		}
	}
	return url
}

// refundNoticeV3 writes REFUND.SUCCESS, REFUND.ABNORMAL or REFUND.CLOSED.
func (s *signers) refundNoticeV3(id string, r Refund, o Order, at time.Time) ([]byte, error) {
	plain, err := json.Marshal(refundResource{
		Mchid: o.Mchid, TransactionID: r.TransactionID, OutTradeNo: r.OutTradeNo, RefundID: r.RefundID,
		OutRefundNo: r.OutRefundNo, RefundStatus: r.Status, SuccessTime: succeeded(r), UserReceivedAccount: r.receivedAccount(),
		Amount: refundNoticeAmount{Total: r.TotalFen, Refund: r.AmountFen, PayerTotal: r.PayerTotalFen, PayerRefund: r.PayerFen},
	})
	if err != nil {
		return nil, fmt.Errorf("encode refund: %w", err)
	}
	summary := map[RefundStatus]string{RefundSuccess: "退款成功", RefundAbnormal: "退款异常", RefundClosed: "退款关闭"}[r.Status]
	return s.envelope(id, "REFUND."+string(r.Status), "refund", summary, plain, at)
}

// envelope seals a resource into the outside of a notification.
func (s *signers) envelope(id, event, original, summary string, plain []byte, at time.Time) ([]byte, error) {
	resource, err := s.encrypt(plain, original)
	if err != nil {
		return nil, fmt.Errorf("encrypt resource: %w", err)
	}
	resource.OriginalType = original
	body, err := json.Marshal(noticeEnvelope{ID: id, CreateTime: wireTime(at), ResourceType: "encrypt-resource",
		EventType: event, Summary: summary, Resource: resource})
	if err != nil {
		return nil, fmt.Errorf("encode notice: %w", err)
	}
	return body, nil
}

// receivedAccount: a closed refund went nowhere.
func (r Refund) receivedAccount() string {
	if r.Status == RefundClosed {
		return ""
	}
	return r.ReceivedAccount
}

func succeeded(r Refund) string {
	if r.SucceededAt == nil {
		return ""
	}
	return wireTime(*r.SucceededAt)
}

// refundNoticeV2 hides its fields in req_info and carries no sign (wiki, chapter 9_16).
func (s *signers) refundNoticeV2(_ string, r Refund, o Order, _ time.Time) ([]byte, error) {
	nonce, err := s.random.nonce()
	if err != nil {
		return nil, err
	}
	secret, err := encryptV2(s.merchant.APIv2Key, refundFieldsV2(r).root())
	if err != nil {
		return nil, err
	}
	return xmlOf(v2Fields{"return_code": "SUCCESS", "appid": o.Appid, "mch_id": o.Mchid, "nonce_str": nonce, "req_info": secret}), nil
}

func refundFieldsV2(r Refund) v2Fields {
	fields := v2Fields{
		"transaction_id": r.TransactionID, "out_trade_no": r.OutTradeNo, "refund_id": r.RefundID, "out_refund_no": r.OutRefundNo,
		"total_fee": fen(r.TotalFen), "settlement_total_fee": fen(r.TotalFen),
		"refund_fee": fen(r.AmountFen), "settlement_refund_fee": fen(r.AmountFen), "cash_refund_fee": fen(r.PayerFen),
		"refund_status": refundStatusV2(r.Status), "refund_recv_accout": r.receivedAccount(),
		"refund_account": refundAccountV2(r.FundsAccount), "refund_request_source": "API",
	}
	if r.Origin == OriginConsole {
		fields["refund_request_source"] = "VENDOR_PLATFORM"
	}
	if r.SucceededAt != nil {
		fields["success_time"] = r.SucceededAt.In(beijing()).Format(time.DateTime)
	}
	return fields
}

// refundStatusV2 is the v2 spelling of a status.
func refundStatusV2(s RefundStatus) string {
	switch s {
	case RefundAbnormal:
		return "CHANGE"
	case RefundClosed:
		return "REFUNDCLOSE"
	case RefundProcessing, RefundSuccess:
	}
	return string(s)
}

func refundAccountV2(fundsAccount string) string {
	if fundsAccount == "AVAILABLE" {
		return "REFUND_SOURCE_RECHARGE_FUNDS"
	}
	return "REFUND_SOURCE_UNSETTLED_FUNDS"
}

// root is the same as xmlOf under another root element.
func (f v2Fields) root() []byte {
	inner := strings.TrimSuffix(strings.TrimPrefix(string(xmlOf(f)), "<xml>"), "</xml>")
	return []byte("<root>" + inner + "</root>")
}

// encryptV2 is AES-256-ECB with PKCS#7 padding; the key is the lower-case hex of the
// APIv2 key's MD5 (wiki, chapter 9_16).
func encryptV2(apiV2Key string, plain []byte) (string, error) {
	sum := md5.Sum([]byte(apiV2Key))
	block, err := aes.NewCipher([]byte(hex.EncodeToString(sum[:])))
	if err != nil {
		return "", errors.New("make cipher: the key has a wrong length")
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	padded := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(padding)}, padding)...)
	for at := 0; at < len(padded); at += aes.BlockSize {
		block.Encrypt(padded[at:at+aes.BlockSize], padded[at:at+aes.BlockSize])
	}
	return base64.StdEncoding.EncodeToString(padded), nil
}

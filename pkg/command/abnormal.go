package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Bounds of what names a card (WeChat Pay doc 4012810603). Account and name are
// encrypted with RSA-2048 and OAEP, which leaves room for 214 bytes.
const (
	maxBankType = 16
	maxSealed   = 214
)

// abnormalQuestion says where the money of an abnormal refund shall go. It is a
// question and no command: account and name must not lie in a stream.
type abnormalQuestion struct {
	MchID       pay.MchID       `json:"mchid"`
	OutRefundNo pay.OutRefundNo `json:"out_refund_no"`
	Actor       string          `json:"actor"`  // the name of the API key, or an operator
	Reason      string          `json:"reason"` // of an operator, for the audit log
	Type        string          `json:"type"`
	BankType    string          `json:"bank_type"`
	BankAccount string          `json:"bank_account"`
	RealName    string          `json:"real_name"`
}

// ActAbnormal drives an abnormal refund on: account and name are encrypted for
// WeChat Pay here, and only that is kept, until the reconciler has sent it. It
// answers 202 with the refund.
func (s *Service) ActAbnormal(ctx context.Context, question []byte) ([]byte, error) {
	var q abnormalQuestion
	if json.Unmarshal(question, &q) != nil {
		return nil, errors.New("read question: it does not parse") // the decoder's words may quote it
	}
	refund, bad := s.driveOn(ctx, q)
	if bad != nil {
		return s.refuseAct(ctx, actAbnormal, bad, "mchid", q.MchID, "out_refund_no", q.OutRefundNo, "actor", q.Actor)
	}
	body, err := refundJSON(refund)
	if err != nil {
		return nil, err
	}
	s.metrics.acted(actAbnormal, http.StatusAccepted)
	s.Log.InfoContext(ctx, "abnormal refund is driven on", "mchid", q.MchID, "out_refund_no", q.OutRefundNo, "actor", q.Actor, "type", q.Type)
	return answerBody(http.StatusAccepted, body)
}

func (s *Service) driveOn(ctx context.Context, q abnormalQuestion) (pay.Refund, *problem.Error) {
	if fields := q.check(); len(fields) > 0 {
		return pay.Refund{}, problem.InvalidFields(fields...)
	}
	refund, found, err := s.Books.Refund(ctx, q.MchID, q.OutRefundNo)
	switch {
	case err != nil:
		return refund, s.fault(err)
	case !found:
		return refund, noRefund(q.MchID, q.OutRefundNo)
	case refund.State != pay.RefundAbnormal:
		return refund, notAbnormal(refund)
	}
	body, keyID, bad := s.seal(ctx, q, refund)
	if bad != nil {
		return refund, bad
	}
	wished, err := s.Books.WishAbnormal(ctx, q.MchID, q.OutRefundNo, body, keyID, q.Actor, q.Reason)
	if err != nil {
		return refund, s.fault(err)
	}
	if now, found, err := s.Books.Refund(ctx, q.MchID, q.OutRefundNo); err == nil && found {
		refund = now
	}
	switch {
	case !wished && refund.State == pay.RefundAbnormal:
		return refund, problem.Newf(problem.DriveUnderWay, "refund %s is being driven on as an earlier request asked", refund.OutRefundNo)
	case !wished:
		return refund, notAbnormal(refund)
	}
	s.Waker.WakeRefund(ctx, q.MchID, q.OutRefundNo)
	return refund, nil
}

// seal makes the bytes of the call, with account and name encrypted.
func (s *Service) seal(ctx context.Context, q abnormalQuestion, r pay.Refund) (body []byte, keyID string, bad *problem.Error) {
	order, found, err := s.Books.Order(ctx, r.MchID, r.OutTradeNo)
	wechat, reachable := s.Merchants.WeChat(r.MchID)
	switch {
	case err != nil:
		return nil, "", s.fault(err)
	case found && order.Protocol == pay.ProtocolV2:
		p := problem.Newf(problem.Refused, "order %s was made with protocol v2, which has no such call", r.OutTradeNo)
		p.NextStep = "Drive the refund on in the merchant platform; fenflow books what becomes of it."
		return nil, "", p
	case !reachable:
		return nil, "", notConfigured(r.MchID)
	}
	body, keyID, err = wechat.AbnormalBody(wechatpay.AbnormalRequest{
		OutRefundNo: r.OutRefundNo, Type: q.Type, BankType: q.BankType, BankAccount: q.BankAccount, RealName: q.RealName,
	})
	if err != nil {
		return nil, "", problem.Wrap(problem.Unavailable, err, "the request cannot be encrypted for WeChat Pay: look at the merchant's wechatpay_public_keys and platform_certificates")
	}
	return body, keyID, nil
}

// check repeats no value: account and name must not come back in an answer.
func (q abnormalQuestion) check() []problem.Field {
	var fields []problem.Field
	bad := func(field, format string, args ...any) {
		fields = append(fields, problem.Field{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	for _, f := range []struct {
		name, value string
		most        int
	}{{"bank_type", q.BankType, maxBankType}, {"bank_account", q.BankAccount, maxSealed}, {"real_name", q.RealName, maxSealed}} {
		switch {
		case q.Type == wechatpay.ToUserCard && f.value == "":
			bad(f.name, "is required for type %s", wechatpay.ToUserCard)
		case q.Type == wechatpay.ToMerchantCard && f.value != "":
			bad(f.name, "has no meaning for type %s", wechatpay.ToMerchantCard)
		case len(f.value) > f.most || !storable(f.value):
			bad(f.name, "must be at most %d bytes of UTF-8 without NUL", f.most)
		}
	}
	if q.Type != wechatpay.ToUserCard && q.Type != wechatpay.ToMerchantCard {
		bad("type", "must be %s or %s", wechatpay.ToUserCard, wechatpay.ToMerchantCard)
	}
	if q.Actor == "" || !storable(q.Actor) {
		bad("actor", "must name who asks")
	}
	if len(q.Reason) > maxReason || !storable(q.Reason) {
		bad("reason", "must be at most %d bytes of UTF-8 without NUL", maxReason)
	}
	return fields
}

func notAbnormal(r pay.Refund) *problem.Error {
	return problem.Newf(problem.NotAbnormal, "refund %s is %s", r.OutRefundNo, r.State)
}

func noRefund(mchid pay.MchID, no pay.OutRefundNo) *problem.Error {
	return problem.Newf(problem.NotFound, "there is no refund %s of merchant %s", clip(string(no)), clip(string(mchid)))
}

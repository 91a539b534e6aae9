package keycheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// liveWithin leaves the console time for the rest.
const liveWithin = 4 * time.Second

var errNoAnswer = errors.New("no answer")

// probe asks WeChat Pay about a number that no order ever had. The answer "no
// such order" is only given to whoever signed rightly, and nothing is changed
// by the question.
func (s *Service) probe(ctx context.Context, cred *merchant.Credentials) *Live {
	mchid := cred.Merchant.MchID
	wechat, there := s.Merchants.Asked(mchid)
	if !there {
		return &Live{Detail: "no key to call WeChat Pay with is configured"}
	}
	granted, err := s.Budgets.TakeToken(ctx, mchid, pay.Budget{API: pay.APIOrderQuery, PerSecond: s.OrderQuery})
	switch {
	case err != nil:
		s.Log.WarnContext(ctx, "no live check: the budget of calls could not be read", "mchid", mchid, "error", err)
		return &Live{Detail: "the budget of calls cannot be read at the moment: nothing was asked"}
	case !granted:
		return &Live{Detail: "the merchant's budget of questions is used up at the moment: nothing was asked"}
	}
	ctx, cancel := context.WithTimeout(ctx, liveWithin)
	defer cancel()
	answer, err := wechat.QueryOrder(ctx, pay.Order{MchID: mchid, Protocol: cred.Merchant.Protocol, OutTradeNo: madeUp(s.Nonce())})
	live := judge(err)
	live.AnsweredWith = answer.Answer.KeyID
	return live
}

// madeUp is a number that no shop gives: 32 characters are the most.
func madeUp(nonce string) pay.OutTradeNo {
	return pay.OutTradeNo(clip("CHECK-"+nonce, 32))
}

func clip(s string, most int) string { return s[:min(len(s), most)] }

// judge says what an answer tells about the key that signed the question.
func judge(err error) *Live {
	var refused *wechatpay.CallError
	switch {
	case err == nil:
		return &Live{Accepted: true, Verified: true, Detail: "WeChat Pay answers, and knows an order of a number that was made up"}
	case !errors.As(err, &refused):
		return &Live{Detail: "the question could not be asked"}
	}
	live := &Live{Verified: refused.Verified, RequestID: refused.RequestID}
	switch {
	case wechatpay.IsNotExist(err):
		live.Accepted = true
		live.Detail = "WeChat Pay takes the merchant's signature"
		if !refused.Verified {
			live.Detail += "; its answer was not signed, as a refusal need not be"
		}
	case refused.Status >= http.StatusInternalServerError:
		live.away = true
		live.Detail = strings.TrimSpace(fmt.Sprintf("WeChat Pay did not answer: %d %s", refused.Status, refused.Code))
	case refused.Status == 0 && refused.Class == wechatpay.ClassUnknown:
		live.away = true
		live.Detail = "WeChat Pay did not answer: " + cmp.Or(errors.Unwrap(refused), errNoAnswer).Error()
	case refused.Status == http.StatusUnauthorized:
		live.Detail = fmt.Sprintf("WeChat Pay answers 401 %s: it does not take the merchant's signature", refused.Code)
	case refused.Status != 0:
		live.Detail = fmt.Sprintf("WeChat Pay answers %d %s", refused.Status, refused.Code)
	default:
		live.Detail = "no answer of WeChat Pay came that can be believed"
	}
	return live
}

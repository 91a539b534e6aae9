package simulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Ways out of an abnormal refund.
const (
	toUserCard     = "USER_BANK_CARD"
	toMerchantCard = "MERCHANT_BANK_CARD"
	// Card numbers have at least 13 digits and at most 19 (ISO/IEC 7812), accounts of
	// companies up to 32.
	shortestAccount, longestAccount = 13, 32
)

// abnormalRequest is the body of apply-abnormal-refund, once checked; the two
// sensitive fields are still encrypted.
type abnormalRequest struct {
	OutRefundNo string `json:"out_refund_no"`
	Type        string `json:"type"`
	BankType    string `json:"bank_type"`
	BankAccount string `json:"bank_account"`
	RealName    string `json:"real_name"`
}

// applyAbnormal sends an ABNORMAL refund on its way again, to a bank card.
func (s *Simulator) applyAbnormal(c *call) (reply, error) {
	if _, refused := parseStrict(c.body, abnormalRules()); refused != nil {
		return reply{}, refused
	}
	var request abnormalRequest
	if err := json.Unmarshal(c.body, &request); err != nil {
		return reply{}, fmt.Errorf("decode checked body: %w", err)
	}
	account, refused := s.openAbnormal(c, request)
	if refused != nil {
		return reply{}, refused
	}
	id := pathParam(c.request, "refund_id")
	r, known := s.Refund(request.OutRefundNo)
	switch {
	case !known && !s.books.hasRefundID(id):
		return s.refundReply(r, errUnknownRefund)
	case r.RefundID != id:
		return s.refundReply(r, errRefundMismatch)
	case r.AppliedFor == request.Type && r.Status != RefundAbnormal:
		return s.refundReply(r, nil) // asked again: it is under way
	}
	r, err := s.turn(r.OutRefundNo, refundNotice{}, func(now Refund) (refundTurn, error) {
		if now.Status != RefundAbnormal {
			return refundTurn{}, errRefundTurn
		}
		return refundTurn{Status: RefundProcessing, Next: RefundSuccess, Channel: "OTHER_BANKCARD",
			ReceivedAccount: account, AppliedFor: request.Type}, nil
	})
	return s.refundReply(r, err)
}

func (b *books) hasRefundID(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.refunds.byID[id]
	return known
}

// openAbnormal decrypts and checks the sensitive fields, and says where the money
// goes in the words of user_received_account. What they say goes no further.
func (s *Simulator) openAbnormal(c *call, r abnormalRequest) (string, *refusal) {
	if r.Type == toUserCard {
		for name, value := range map[string]string{"bank_type": r.BankType, "bank_account": r.BankAccount, "real_name": r.RealName} {
			if value == "" {
				return "", paramError("#/properties/"+name, "is required with type "+toUserCard)
			}
		}
	}
	received := "商户结算银行账户"
	if r.BankAccount != "" {
		account, refused := s.openSensitive(c, "bank_account", r.BankAccount)
		if refused != nil {
			return "", refused
		}
		if len(account) < shortestAccount || len(account) > longestAccount || strings.Trim(account, decimal) != "" {
			return "", paramError("#/properties/bank_account", "must be, once decrypted, a number of 13 to 32 digits")
		}
		if r.Type == toUserCard {
			received = r.BankType + account[len(account)-4:]
		}
	}
	if r.RealName != "" {
		name, refused := s.openSensitive(c, "real_name", r.RealName)
		if refused != nil {
			return "", refused
		}
		if !utf8.ValidString(name) || strings.TrimSpace(name) == "" {
			return "", paramError("#/properties/real_name", "must be, once decrypted, a name in UTF-8")
		}
	}
	return received, nil
}

// abnormalRules follow WeChat Pay doc 4012810603. Only debit cards take a refund.
func abnormalRules() []rule {
	return []rule{
		{name: "out_refund_no", kind: text, must: true, min: 1, max: longestRefundNo, issue: numberOf("_-|*@")},
		{name: "type", kind: text, must: true, min: 1, max: 32, issue: oneOf(toUserCard, toMerchantCard)},
		{name: "bank_type", kind: text, min: 1, max: 16, issue: func(v string) string {
			if strings.HasSuffix(v, "_DEBIT") {
				return ""
			}
			return "must be a debit card's, such as ICBC_DEBIT"
		}},
		{name: "bank_account", kind: text, min: 1, max: 1024},
		{name: "real_name", kind: text, min: 1, max: 1024},
	}
}

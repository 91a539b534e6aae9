package ingest

import (
	"regexp"

	"github.com/fenflow/fenflow/pkg/problem"
)

// Where the money of an abnormal refund may go (WeChat Pay doc 4012810603).
const (
	toUserCard     = "USER_BANK_CARD"
	toMerchantCard = "MERCHANT_BANK_CARD"
)

// Limits of a wish to drive a refund on. WeChat Pay bounds the encrypted fields
// only (1024 characters, doc 4012810603); a name is bounded so that it can be
// encrypted with an RSA key of 2048 bits, which takes 214 bytes.
const (
	maxAbnormalBytes = 4 << 10
	maxBankType      = 16
	maxRealName      = 50
)

var (
	bankTypeShape    = regexp.MustCompile(`^[0-9A-Z_]{1,16}$`)
	bankAccountShape = regexp.MustCompile(`^[0-9]{8,32}$`) // cards have 8 to 19 digits (ISO/IEC 7812), accounts up to 32
)

// abnormalWish says where the money of an abnormal refund is to go instead. It
// goes to the worker in memory only: account and name are stored nowhere in clear.
type abnormalWish struct {
	Type        string `json:"type"`
	BankType    string `json:"bank_type,omitempty"`
	BankAccount string `json:"bank_account,omitempty"`
	RealName    string `json:"real_name,omitempty"`
}

// abnormalQuestion is what the worker is asked; Actor is the API key's name,
// for the audit.
type abnormalQuestion struct {
	MchID       string `json:"mchid"`
	OutRefundNo string `json:"out_refund_no"`
	Actor       string `json:"actor"`

	abnormalWish
}

// parseAbnormal reads the body of POST /v1/refunds/{out_refund_no}/abnormal.
// None of its problems repeats a value.
func parseAbnormal(raw []byte) (abnormalWish, error) {
	fields, twice, err := parseObject(raw)
	if err != nil {
		return abnormalWish{}, problem.New(problem.Malformed, err.Error())
	}
	f := newFieldReader(fields, twice)
	f.secret = true
	a := abnormalWish{
		Type:        f.text("type", true, maxText),
		BankType:    f.text("bank_type", false, maxBankType),
		BankAccount: f.text("bank_account", false, maxText),
		RealName:    f.text("real_name", false, maxRealName),
	}
	a.check(f)
	if problems := f.done(); len(problems) > 0 {
		return abnormalWish{}, problem.InvalidFields(problems...)
	}
	return a, nil
}

// check: a card of the buyer's must be named; the merchant's own account is
// known to WeChat Pay.
func (a abnormalWish) check(f *fieldReader) {
	of := []string{"bank_type", "bank_account", "real_name"}
	switch a.Type {
	case toUserCard:
		for _, name := range of {
			if _, given := f.object[name]; !given {
				f.bad(name, "is missing; type %s needs bank_type, bank_account and real_name", toUserCard)
			}
		}
	case toMerchantCard:
		for _, name := range of {
			if _, given := f.object[name]; given {
				f.bad(name, "is given; type %s has none, because WeChat Pay knows the merchant's account", toMerchantCard)
			}
		}
	case "":
	default:
		f.bad("type", "must be %s or %s", toUserCard, toMerchantCard)
	}
	if a.BankType != "" && !bankTypeShape.MatchString(a.BankType) {
		f.bad("bank_type", "must be 1 to 16 of 0-9 A-Z _, such as ICBC_DEBIT")
	}
	if a.BankAccount != "" && !bankAccountShape.MatchString(a.BankAccount) {
		f.bad("bank_account", "must be 8 to 32 digits, without spaces")
	}
}

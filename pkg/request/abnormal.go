package request

import "regexp"

// Where the money of an abnormal refund may go (WeChat Pay doc 4012810603).
const (
	ToUserCard     = "USER_BANK_CARD"
	ToMerchantCard = "MERCHANT_BANK_CARD"
)

// Limits of a wish to drive a refund on. WeChat Pay bounds the encrypted fields
// only (1024 characters, doc 4012810603); a name is bounded so that it can be
// encrypted with an RSA key of 2048 bits, which takes 214 bytes.
const (
	maxBankType = 16
	maxRealName = 50
)

var (
	bankTypeShape    = regexp.MustCompile(`^[0-9A-Z_]{1,16}$`)
	bankAccountShape = regexp.MustCompile(`^[0-9]{8,32}$`) // cards have 8 to 19 digits (ISO/IEC 7812), accounts up to 32
)

// Abnormal says where the money of an abnormal refund is to go instead. It goes
// to the worker in memory only: account and name are stored nowhere in clear.
type Abnormal struct {
	Type        string `json:"type"`
	BankType    string `json:"bank_type,omitempty"`
	BankAccount string `json:"bank_account,omitempty"`
	RealName    string `json:"real_name,omitempty"`
}

// ParseAbnormal reads the body of POST /v1/refunds/{out_refund_no}/abnormal.
// None of its problems repeats a value.
func ParseAbnormal(raw []byte) (Abnormal, error) {
	f, err := ReadSecret(raw)
	if err != nil {
		return Abnormal{}, err
	}
	a := AbnormalOf(f)
	return a, f.Done()
}

// AbnormalOf takes the wish from the fields of a request, which must have been
// read as secret.
func AbnormalOf(f *Fields) Abnormal {
	a := Abnormal{
		Type:        f.Text("type", true, MaxShort),
		BankType:    f.Text("bank_type", false, maxBankType),
		BankAccount: f.Text("bank_account", false, MaxShort),
		RealName:    f.Text("real_name", false, maxRealName),
	}
	a.check(f)
	return a
}

// check: a card of the buyer's must be named; the merchant's own account is
// known to WeChat Pay.
func (a Abnormal) check(f *Fields) {
	of := []string{"bank_type", "bank_account", "real_name"}
	switch a.Type {
	case ToUserCard:
		for _, name := range of {
			if !f.Given(name) {
				f.Bad(name, "is missing; type %s needs bank_type, bank_account and real_name", ToUserCard)
			}
		}
	case ToMerchantCard:
		for _, name := range of {
			if f.Given(name) {
				f.Bad(name, "is given; type %s has none, because WeChat Pay knows the merchant's account", ToMerchantCard)
			}
		}
	case "":
	default:
		f.Bad("type", "must be %s or %s", ToUserCard, ToMerchantCard)
	}
	if a.BankType != "" && !bankTypeShape.MatchString(a.BankType) {
		f.Bad("bank_type", "must be 1 to 16 of 0-9 A-Z _, such as ICBC_DEBIT")
	}
	if a.BankAccount != "" && !bankAccountShape.MatchString(a.BankAccount) {
		f.Bad("bank_account", "must be 8 to 32 digits, without spaces")
	}
}

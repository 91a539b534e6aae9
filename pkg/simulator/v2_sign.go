package simulator

import (
	"crypto/subtle"
	"net/url"
	"sort"
	"strings"
)

// checkSignV2 holds sign against all elements received, known or not. What it
// refuses it explains in the log, without the key.
func (s *Simulator) checkSignV2(fields v2Fields) *v2Error {
	signType := SignType(fields["sign_type"])
	switch signType {
	case "":
		signType = SignMD5
	case SignMD5, SignHMAC:
	default:
		return v2SignError("sign_type must be MD5 or HMAC-SHA256")
	}
	sign := fields["sign"]
	if sign == "" {
		return v2SignError("the element sign is missing or empty")
	}
	key := s.merchant.APIv2Key
	if subtle.ConstantTimeCompare([]byte(sign), []byte(signV2(fields, key, signType))) == 1 {
		return nil
	}
	return v2SignError("the sign does not verify", "sign_type", signType,
		"expected_string_to_sign", clip(v2Text(fields, sortedKeys(fields), keep)+"key=<the APIv2 key>"),
		"differs", s.diagnoseV2(sign, fields, signType))
}

// v2Mistake is a text, a key or a hash that people take instead of the right one.
type v2Mistake struct {
	what     string
	text     string // with its last &
	key      string
	signType SignType
}

// diagnoseV2 makes the mistakes that people make until one gives their sign.
func (s *Simulator) diagnoseV2(sign string, fields v2Fields, signType SignType) string {
	right := v2Text(fields, sortedKeys(fields), keep)
	key := s.merchant.APIv2Key
	for _, m := range s.mistakesV2(fields, signType) {
		if signText(m.text+"key="+m.key, m.key, m.signType) == sign {
			return m.what
		}
	}
	for _, kind := range []SignType{signType, otherSignType(signType)} {
		made := signText(right+"key="+key, key, kind)
		if strings.EqualFold(made, sign) {
			return "the sign must be in upper-case hex, and made with " + string(signType)
		}
		if signText(strings.TrimSuffix(right, "&"), key, kind) == sign {
			return "&key= and the key were not added at the end"
		}
	}
	return "another text or key was signed; compare byte by byte, and compare the key with the one in merchant.json"
}

func (s *Simulator) mistakesV2(fields v2Fields, signType SignType) []v2Mistake {
	names, key, other := sortedKeys(fields), s.merchant.APIv2Key, otherSignType(signType)
	right := v2Text(fields, names, keep)
	folded := append([]string(nil), names...)
	sort.Slice(folded, func(i, j int) bool { return strings.ToLower(folded[i]) < strings.ToLower(folded[j]) })
	hint := "the sign is made with " + string(other)
	if fields["sign_type"] == "" {
		hint += ", but the element sign_type is missing; it must be sent and takes part"
	}
	list := []v2Mistake{
		{hint, right, key, other},
		{"the sign is made with the APIv3 key; v2 has a key of its own", right, s.merchant.APIv3Key, signType},
		{"empty elements were signed; leave them out", v2Text(fields, names, keepEmpty), key, signType},
		{"values were URL-encoded before signing; sign them as they are", v2Text(fields, names, func(_, v string) string { return url.QueryEscape(v) }), key, signType},
		{"white space around values was not signed", v2Text(fields, names, func(_, v string) string { return strings.TrimSpace(v) }), key, signType},
		{"names were sorted without regard to case; sort by ASCII", v2Text(fields, folded, keep), key, signType},
	}
	for _, left := range names {
		without := v2Text(fields, names, func(name, v string) string {
			if name == left {
				return ""
			}
			return v
		})
		list = append(list, v2Mistake{"the element " + left + " was sent but not signed", without, key, signType},
			v2Mistake{"the element " + left + " was sent but not signed", without, key, other})
	}
	return list
}

func keep(_, value string) string { return value }

// emptyValue stands for a value that is written although it is empty.
const emptyValue = "\x00"

func keepEmpty(_, value string) string {
	if value == "" {
		return emptyValue
	}
	return value
}

// v2Text is the text to sign up to the key, with its last &.
func v2Text(fields v2Fields, names []string, form func(name, value string) string) string {
	var text strings.Builder
	for _, name := range names {
		if value := form(name, fields[name]); value != "" && name != "sign" {
			text.WriteString(name + "=" + strings.TrimPrefix(value, emptyValue) + "&")
		}
	}
	return text.String()
}

func otherSignType(t SignType) SignType {
	if t == SignHMAC {
		return SignMD5
	}
	return SignHMAC
}

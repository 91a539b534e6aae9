package wechatpay

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// The sign types of protocol v2 (WeChat Pay v2 docs, "signature algorithm").
const (
	signTypeMD5  = "MD5"
	signTypeHMAC = "HMAC-SHA256"
)

// signV2 signs fields: those that are not empty, sorted by name, joined raw,
// the key at the end.
func signV2(fields fieldsV2, key merchant.Secret, signType string) string {
	names := make([]string, 0, len(fields))
	for name, value := range fields {
		if name != "sign" && value != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		text.WriteString(name + "=" + fields[name] + "&")
	}
	text.WriteString("key=" + key.Reveal())
	if signType == signTypeHMAC {
		mac := hmac.New(sha256.New, []byte(key.Reveal()))
		_, _ = mac.Write([]byte(text.String()))
		return strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
	}
	sum := md5.Sum([]byte(text.String()))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// verifyV2 tries each APIv2 key in turn and says which one signed, and how.
// The length of the sign tells its type: sign_type may be missing, and orders
// signed with HMAC-SHA256 have been notified with MD5.
func verifyV2(fields fieldsV2, keys []merchant.Secret) (keyID string, rejected *VerifyError) {
	signType, rejected := signTypeOf(fields)
	if rejected != nil {
		return "", rejected
	}
	for i, key := range keys {
		if key == "" {
			continue
		}
		want := signV2(fields, key, signType)
		if subtle.ConstantTimeCompare([]byte(want), []byte(fields["sign"])) == 1 {
			return keyIDV2(i, signType), nil
		}
	}
	if len(keys) == 0 {
		return "", reject(ReasonBadSignature, "no APIv2 key is configured: set api_v2_key_files of this merchant")
	}
	return "", reject(ReasonBadSignature, "the %s sign is not one of the %d configured APIv2 keys: compare api_v2_key_files with the merchant platform", signType, len(keys))
}

func signTypeOf(fields fieldsV2) (string, *VerifyError) {
	switch declared := fields["sign_type"]; declared {
	case "", signTypeMD5, signTypeHMAC:
	default:
		return "", reject(ReasonMalformed, "sign_type is neither %s nor %s", signTypeMD5, signTypeHMAC)
	}
	switch len(fields["sign"]) {
	case 0:
		return "", reject(ReasonBadSignature, "sign is missing")
	case 2 * md5.Size:
		return signTypeMD5, nil
	case 2 * sha256.Size:
		return signTypeHMAC, nil
	}
	return "", reject(ReasonBadSignature, "sign has %d characters, and neither %s nor %s has", len(fields["sign"]), signTypeMD5, signTypeHMAC)
}

// keyIDV2 names a shared key by its place in the configuration, from 1.
func keyIDV2(place int, how string) string {
	return "apiv2#" + strconv.Itoa(place+1) + "/" + how
}

package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	sha256Shape = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	serialShape = regexp.MustCompile(`^[0-9a-fA-F]{8,40}$`)
)

func (v *validator) merchants() {
	owners, holders := map[string]string{}, map[string]string{}
	for i, e := range v.config.Entries {
		key := fmt.Sprintf("merchants[%d]", i)
		v.merchant(key, e)
		if first, twice := owners[e.MchID]; twice && e.MchID != "" {
			v.fail(key+".mchid", "is %s, as is %s: each merchant is configured once", e.MchID, first)
		} else {
			owners[e.MchID] = key + ".mchid"
		}
		v.apiKeys(key, e.APIKeys, holders)
	}
}

func (v *validator) merchant(key string, e Entry) {
	if _, err := pay.ParseMchID(e.MchID); err != nil {
		v.fail(key+".mchid", "%v", err)
	}
	v.oneOf(key+".protocol", e.Protocol, "v3", "v2")
	v.oneOf(key+".sign_type", e.SignType, "HMAC-SHA256", "MD5")
	v.oneOf(key+".refund_funds", e.RefundFunds, "default", "available")
	if e.MerchantSerial != "" && !serialShape.MatchString(e.MerchantSerial) {
		v.fail(key+".merchant_serial", "must be 8 to 40 hex digits: the merchant platform and `openssl x509 -serial` show it")
	}
	v.apps(key, e.Apps)
	v.publicKeys(key, e)
	v.policies(key, e.Anomalies)
	if v.config.loaded.role.holdsSecrets() {
		v.secretFiles(key, e)
	}
}

func (v *validator) apps(key string, apps []AppEntry) {
	if len(apps) == 0 {
		v.fail(key+".apps", "is empty: no order can name an appid")
	}
	seen := map[string]bool{}
	for i, a := range apps {
		at := fmt.Sprintf("%s.apps[%d]", key, i)
		if _, err := pay.ParseAppID(a.AppID); err != nil {
			v.fail(at+".appid", "%v", err)
		} else if seen[a.AppID] {
			v.fail(at+".appid", "is %s, which this merchant has already", a.AppID)
		}
		seen[a.AppID] = true
		v.oneOf(at+".kind", a.Kind, "mini_program", "official_account", "app", "website")
	}
}

func (v *validator) publicKeys(key string, e Entry) {
	if len(e.WeChatPayPublicKeys) == 0 && !e.PlatformCertificates && e.Protocol != string(pay.ProtocolV2) {
		v.fail(key+".wechatpay_public_keys", "is empty and platform_certificates is not true: nothing that WeChat Pay sends could be verified")
	}
	seen := map[string]bool{}
	for i, k := range e.WeChatPayPublicKeys {
		at := fmt.Sprintf("%s.wechatpay_public_keys[%d]", key, i)
		switch {
		case !strings.HasPrefix(k.ID, merchant.PublicKeyIDPrefix):
			v.fail(at+".id", "must begin with %s: the merchant platform shows it beside the key", merchant.PublicKeyIDPrefix)
		case seen[k.ID]:
			v.fail(at+".id", "is there twice")
		}
		seen[k.ID] = true
		if k.File == "" {
			v.fail(at+".file", "is not set: it is the PEM file of the key (pub_key.pem)")
		}
	}
}

func (v *validator) policies(key string, a Anomalies) {
	v.oneOf(key+".anomalies.late_payment", a.LatePayment, "accept", "refund", "hold")
	if a.AmountMismatch == string(pay.PolicyAccept) {
		v.fail(key+".anomalies.amount_mismatch", "cannot be accept: goods would be delivered for another price; must be hold or refund")
	} else {
		v.oneOf(key+".anomalies.amount_mismatch", a.AmountMismatch, "hold", "refund")
	}
	if a.DoublePayment == string(pay.PolicyAccept) {
		v.fail(key+".anomalies.double_payment", "cannot be accept: the same goods would be paid twice; must be refund or hold")
	} else {
		v.oneOf(key+".anomalies.double_payment", a.DoublePayment, "refund", "hold")
	}
}

func (v *validator) apiKeys(key string, keys []APIKeyEntry, holders map[string]string) {
	for i, k := range keys {
		at := fmt.Sprintf("%s.api_keys[%d]", key, i)
		if k.Name == "" {
			v.fail(at+".name", "is not set: logs show it instead of the key")
		}
		if !sha256Shape.MatchString(k.SHA256) {
			v.fail(at+".sha256", "must be 64 hex digits: the hash that `fenflow key new` prints, not the key")
			continue
		}
		hash := strings.ToLower(k.SHA256)
		if first, twice := holders[hash]; twice {
			v.fail(at+".sha256", "is the same key as %s: each holder has one of their own", first)
			continue
		}
		holders[hash] = at
	}
}

// secretFiles names what the roles that call WeChat Pay cannot do without.
func (v *validator) secretFiles(key string, e Entry) {
	if e.ClientCertificateFile != "" && e.PrivateKeyFile == "" {
		v.fail(key+".private_key_file", "is not set: client_certificate_file is of no use without the key that belongs to it")
	}
	if e.Protocol == string(pay.ProtocolV2) {
		if len(e.APIv2KeyFiles) == 0 {
			v.fail(key+".api_v2_key_files", "is empty: protocol v2 signs with an APIv2 key")
		}
		if e.ClientCertificateFile == "" {
			v.note(key+".client_certificate_file", "is not set: WeChat Pay takes refunds of protocol v2 only from who shows the certificate of merchant %s (apiclient_cert.pem)", e.MchID)
		}
		return
	}
	if e.MerchantSerial == "" {
		v.fail(key+".merchant_serial", "is not set: it is the serial of the certificate that belongs to private_key_file")
	}
	if e.PrivateKeyFile == "" {
		v.fail(key+".private_key_file", "is not set: calls to WeChat Pay are signed with apiclient_key.pem")
	}
	if len(e.APIv3KeyFiles) == 0 {
		v.fail(key+".api_v3_key_files", "is empty: notifications are encrypted under the APIv3 key")
	}
}

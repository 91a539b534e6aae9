package simulator

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// The shape of fenflow.yaml, written by hand here because this package must not
// import the one that reads it. A test of that package loads what Init writes.
type (
	configFile struct {
		Merchants []configMerchant `yaml:"merchants"`
		Wechatpay configWechatpay  `yaml:"wechatpay"`
		Wechat    configWechat     `yaml:"wechat"`
		PublicURL string           `yaml:"public_url"`
		Front     configFront      `yaml:"front,omitempty"`
		Listen    configListen     `yaml:"listen"`
		Postgres  configURL        `yaml:"postgres"`
		NATS      configNATS       `yaml:"nats"`
		Redis     configURL        `yaml:"redis"`
	}
	configMerchant struct {
		Mchid                string            `yaml:"mchid"`
		Name                 string            `yaml:"name"`
		Apps                 []configApp       `yaml:"apps"`
		Protocol             string            `yaml:"protocol"`
		MerchantSerial       string            `yaml:"merchant_serial"`
		PrivateKeyFile       string            `yaml:"private_key_file"`
		APIv3KeyFiles        []string          `yaml:"api_v3_key_files"`
		APIv2KeyFiles        []string          `yaml:"api_v2_key_files"`
		WechatpayPublicKeys  []configPublicKey `yaml:"wechatpay_public_keys"`
		PlatformCertificates bool              `yaml:"platform_certificates"`
		APIKeys              []configAPIKey    `yaml:"api_keys"`
	}
	configApp struct {
		Appid              string        `yaml:"appid"`
		Kind               string        `yaml:"kind"`
		SecretFile         string        `yaml:"secret_file,omitempty"`
		MessageTokenFile   string        `yaml:"message_token_file,omitempty"`
		MessageAESKeyFiles []string      `yaml:"message_aes_key_files,omitempty"`
		MessageReplies     []configReply `yaml:"message_replies,omitempty"`
		RedirectURLs       []string      `yaml:"redirect_urls,omitempty"`
		JSDomains          []string      `yaml:"js_domains,omitempty"`
	}
	configReply struct {
		On   string `yaml:"on"`
		Text string `yaml:"text"`
	}
	configWechat struct {
		BaseURL string `yaml:"base_url"`
		OpenURL string `yaml:"open_url"`
	}
	configFront struct {
		URL                   string   `yaml:"url"`
		SessionKeyFile        string   `yaml:"session_key_file"`
		SessionPublicKeyFiles []string `yaml:"session_public_key_files"`
		VerifyFiles           []string `yaml:"verify_files"`
	}
	configPublicKey struct {
		ID   string `yaml:"id"`
		File string `yaml:"file"`
	}
	configAPIKey struct {
		Name   string `yaml:"name"`
		SHA256 string `yaml:"sha256"`
	}
	configWechatpay struct {
		BaseURL string `yaml:"base_url"`
		CAFile  string `yaml:"ca_file,omitempty"`
	}
	configListen struct {
		Notify string `yaml:"notify"`
		Front  string `yaml:"front"`
		API    string `yaml:"api"`
		Admin  string `yaml:"admin"`
	}
	configURL struct {
		URL string `yaml:"url"`
	}
	configNATS struct {
		URL         string   `yaml:"url"`
		MonitorURLs []string `yaml:"monitor_urls"`
	}
)

func configOf(m Merchant, o InitOptions) configFile {
	return configFile{
		Merchants: []configMerchant{{
			Mchid: m.Mchid, Name: "demo", Protocol: "v3",
			Apps:           appEntries(m, o),
			MerchantSerial: m.Serial, PrivateKeyFile: merchantKeyFile,
			APIv3KeyFiles: []string{apiV3KeyFile}, APIv2KeyFiles: []string{apiV2KeyFile},
			WechatpayPublicKeys:  []configPublicKey{{ID: m.PublicKeyID, File: wechatpayPubFile}},
			PlatformCertificates: true,
			APIKeys:              []configAPIKey{{Name: "shop", SHA256: hashHex(m.APIKey)}},
		}},
		Wechatpay: wechatpayOf(o),
		Wechat:    configWechat{BaseURL: o.BaseURL, OpenURL: cmp.Or(o.OpenURL, o.BaseURL)},
		PublicURL: o.PublicURL,
		Front:     frontOf(m, o),
		Listen:    configListen{Notify: o.ListenNotify, Front: o.ListenFront, API: o.ListenAPI, Admin: o.ListenAdmin},
		Postgres:  configURL{URL: o.PostgresURL},
		NATS:      configNATS{URL: o.NATSURL, MonitorURLs: o.NATSMonitorURLs},
		Redis:     configURL{URL: o.RedisURL},
	}
}

// appEntries are the merchant's appids: official account and website take their
// buyers back to the shop's pages.
func appEntries(m Merchant, o InitOptions) []configApp {
	if len(m.Apps) == 0 {
		return []configApp{{Appid: m.Appid, Kind: string(KindMiniProgram)}}
	}
	var entries []configApp
	for _, a := range m.Apps {
		entry := configApp{Appid: a.Appid, Kind: string(a.Kind), SecretFile: appSecretFile(a)}
		if a.Token != "" {
			entry.MessageTokenFile, entry.MessageAESKeyFiles = appTokenFile(a), []string{appAESFile(a), appAESFile(a) + ".previous"}
		}
		if a.Kind == KindOfficialAccount || a.Kind == KindWebsite {
			entry.RedirectURLs = []string{strings.TrimRight(o.ShopURL, "/") + "/"}
		}
		if a.Kind == KindOfficialAccount {
			entry.JSDomains = domainOf(o.ShopURL)
			entry.MessageReplies = []configReply{{On: "subscribe", Text: "欢迎光临"}}
		}
		entries = append(entries, entry)
	}
	return entries
}

func domainOf(address string) []string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil
	}
	return []string{u.Host}
}

// frontOf opens the front door where there is a key for its sessions.
func frontOf(m Merchant, o InitOptions) configFront {
	if m.SessionKey == nil {
		return configFront{}
	}
	return configFront{URL: o.FrontURL, SessionKeyFile: sessionKeyFile, SessionPublicKeyFiles: []string{sessionPublicFile},
		VerifyFiles: []string{"MP_verify_" + hashHex(m.Mchid)[:16] + ".txt"}}
}

// wechatpayOf names the CA only where there is TLS to trust it for.
func wechatpayOf(o InitOptions) configWechatpay {
	c := configWechatpay{BaseURL: o.BaseURL}
	if strings.HasPrefix(o.BaseURL, "https://") {
		c.CAFile = caFile
	}
	return c
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

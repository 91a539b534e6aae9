package simulator

import (
	"maps"
	"slices"
	"strings"
)

// The shape of fenflow.yaml, written by hand here because this package must not
// import the one that reads it. A test of that package loads what Init writes.
type (
	configFile struct {
		Merchants []configMerchant `yaml:"merchants"`
		Wechatpay configWechatpay  `yaml:"wechatpay"`
		PublicURL string           `yaml:"public_url"`
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
		Appid string `yaml:"appid"`
		Kind  string `yaml:"kind"`
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
			Apps:           []configApp{{Appid: m.Appid, Kind: "mini_program"}},
			MerchantSerial: m.Serial, PrivateKeyFile: merchantKeyFile,
			APIv3KeyFiles: []string{apiV3KeyFile}, APIv2KeyFiles: []string{apiV2KeyFile},
			WechatpayPublicKeys:  []configPublicKey{{ID: m.PublicKeyID, File: wechatpayPubFile}},
			PlatformCertificates: true,
			APIKeys:              []configAPIKey{{Name: "shop", SHA256: hashHex(m.APIKey)}},
		}},
		Wechatpay: wechatpayOf(o),
		PublicURL: o.PublicURL,
		Listen:    configListen{Notify: o.ListenNotify, API: o.ListenAPI, Admin: o.ListenAdmin},
		Postgres:  configURL{URL: o.PostgresURL},
		NATS:      configNATS{URL: o.NATSURL, MonitorURLs: o.NATSMonitorURLs},
		Redis:     configURL{URL: o.RedisURL},
	}
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

package config

import (
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// Config is everything that can be configured. The tags are read by one walk
// (fields.go), from which loading, `config show` and the reference page come:
// yaml is the key, roles names who may hold the value (all, if absent), kind
// says how a text is checked and resolved.
type Config struct {
	Entries   []Entry   `yaml:"merchants" doc:"The merchants that take payments here."`
	WeChatPay WeChatPay `yaml:"wechatpay"`
	WeChat    WeChat    `yaml:"wechat"`
	PublicURL string    `yaml:"public_url" kind:"url" doc:"Where WeChat Pay reaches ingest from outside; notify_url is this plus /notify/…. No query: WeChat Pay allows none."`
	Front     Front     `yaml:"front"`
	Listen    Listen    `yaml:"listen"`
	Waits     Waits     `yaml:"waits"`
	Budgets   Budgets   `yaml:"budgets"`
	Postgres  Postgres  `yaml:"postgres" roles:"worker reconciler console cli"`
	NATS      NATS      `yaml:"nats"`
	Redis     Redis     `yaml:"redis" roles:"worker reconciler console"`
	Log       Log       `yaml:"log"`

	loaded loaded
}

// Entry is one merchant as the file has it.
type Entry struct {
	MchID                 string         `yaml:"mchid" doc:"Merchant number, 8 to 32 digits."`
	Name                  string         `yaml:"name" doc:"What people call this merchant."`
	Apps                  []AppEntry     `yaml:"apps" doc:"Official accounts, mini programs and apps that orders may name."`
	Protocol              string         `yaml:"protocol" default:"v3" doc:"Generation of the API that new orders are made with: v3 or v2. Notifications of both are always understood."`
	MerchantSerial        string         `yaml:"merchant_serial" doc:"Serial of the merchant API certificate, in hex. Needed by v3."`
	PrivateKeyFile        string         `yaml:"private_key_file" kind:"secret_file" roles:"worker reconciler" doc:"Private key of the merchant (apiclient_key.pem)."`
	APIv3KeyFiles         []string       `yaml:"api_v3_key_files" kind:"secret_file" roles:"worker reconciler" doc:"Files with APIv3 keys, 32 bytes each. The first is current; the others are still tried."`
	APIv2KeyFiles         []string       `yaml:"api_v2_key_files" kind:"secret_file" roles:"worker reconciler" doc:"Files with APIv2 keys, 32 bytes each. The first is current; the others are still tried."`
	WeChatPayPublicKeys   []PublicKeyRef `yaml:"wechatpay_public_keys" doc:"WeChat Pay public keys to verify with."`
	PlatformCertificates  bool           `yaml:"platform_certificates" default:"false" doc:"Fetch platform certificates and verify with them too."`
	SignType              string         `yaml:"sign_type" default:"HMAC-SHA256" doc:"How calls of protocol v2 are signed: HMAC-SHA256 or MD5. Orders keep what they were made with."`
	ClientCertificateFile string         `yaml:"client_certificate_file" kind:"secret_file" roles:"worker reconciler" doc:"Merchant API certificate (apiclient_cert.pem), for v2 refunds. Needs private_key_file."`
	APIKeys               []APIKeyEntry  `yaml:"api_keys" doc:"Keys of the business API, as hashes; make one with fenflow key new."`
	RefundFunds           string         `yaml:"refund_funds" default:"default" doc:"Account that refunds are paid from: default or available."`
	Anomalies             Anomalies      `yaml:"anomalies"`
}

// AppEntry is one appid of a merchant.
type AppEntry struct {
	AppID              string       `yaml:"appid" doc:"The appid, such as wx8888888888888888."`
	Kind               string       `yaml:"kind" default:"mini_program" doc:"mini_program, official_account, app or website."`
	SecretFile         string       `yaml:"secret_file" kind:"secret_file" roles:"worker" doc:"File with the AppSecret. Without it the front door serves nothing of this app."`
	RedirectURLs       []string     `yaml:"redirect_urls" doc:"Pages that a login may lead back to, and an H5 payment: everything below one of these."`
	JSDomains          []string     `yaml:"js_domains" doc:"Domains (host, or host:port) of pages that may call wx.config; each is a JS-safe domain of the official account."`
	MessageTokenFile   string       `yaml:"message_token_file" kind:"secret_file" roles:"worker" doc:"File with the token of the app's server messages."`
	MessageAESKeyFiles []string     `yaml:"message_aes_key_files" kind:"secret_file" roles:"worker" doc:"Files with EncodingAESKeys, 43 characters each. The first is current; the others still decrypt. With one here, plain messages are refused."`
	MessageReplies     []ReplyEntry `yaml:"message_replies" roles:"worker" doc:"Replies to messages of buyers; the first that fits is sent."`
}

// ReplyEntry is one passive reply.
type ReplyEntry struct {
	On                string `yaml:"on" doc:"What it replies to: a message type such as text, or an event such as subscribe."`
	Contains          string `yaml:"contains" doc:"Only where the message's text, or an event's key, holds this."`
	Text              string `yaml:"text" doc:"The reply's text."`
	ImageMediaID      string `yaml:"image_media_id" doc:"Reply with this image instead."`
	TransferToService bool   `yaml:"transfer_to_service" default:"false" doc:"Hand the buyer over to customer service instead."`
}

// PublicKeyRef names a WeChat Pay public key and its file.
type PublicKeyRef struct {
	ID   string `yaml:"id" doc:"Id as the merchant platform shows it, PUB_KEY_ID_…."`
	File string `yaml:"file" kind:"file" doc:"PEM file of the key (pub_key.pem). Not a secret."`
}

// APIKeyEntry is one key of the business API.
type APIKeyEntry struct {
	Name   string `yaml:"name" doc:"Who holds the key; shown in logs."`
	SHA256 string `yaml:"sha256" doc:"SHA-256 of the key, 64 hex digits."`
}

// Anomalies says what happens to money that does not fit.
type Anomalies struct {
	LatePayment    string `yaml:"late_payment" default:"accept" doc:"Paid after the order was closed or failed: accept, refund or hold."`
	DoublePayment  string `yaml:"double_payment" default:"refund" doc:"Another transaction for a paid order: refund or hold."`
	AmountMismatch string `yaml:"amount_mismatch" default:"hold" doc:"Not the order's amount: hold or refund."`
}

// WeChatPay is where WeChat Pay's API is.
type WeChatPay struct {
	BaseURL   string `yaml:"base_url" kind:"url" default:"https://api.mch.weixin.qq.com" doc:"WeChat Pay's API, or a stand-in."`
	BackupURL string `yaml:"backup_url" kind:"url" doc:"Second address of the same API. Unset: https://api2.mch.weixin.qq.com if base_url is the default, else none."`
	CAFile    string `yaml:"ca_file" kind:"file" doc:"PEM file of further certificate authorities to trust for WeChat Pay's API."`
}

// WeChat is where the API of official accounts, mini programs and logins is.
type WeChat struct {
	BaseURL string `yaml:"base_url" kind:"url" default:"https://api.weixin.qq.com" doc:"WeChat's API, or a stand-in."`
	OpenURL string `yaml:"open_url" kind:"url" default:"https://open.weixin.qq.com" doc:"Where buyers are sent to log in, or a stand-in."`
}

// Front is the front door of pages, mini programs and apps. It opens where
// listen.front is not off and session_public_key_files is set.
type Front struct {
	URL                   string        `yaml:"url" kind:"url" doc:"Where buyers reach listen.front from outside. Unset: public_url."`
	SessionKeyFile        string        `yaml:"session_key_file" kind:"secret_file" roles:"worker" doc:"Ed25519 private key that signs buyers' sessions; make one with fenflow key session."`
	SessionPublicKeyFiles []string      `yaml:"session_public_key_files" kind:"file" roles:"ingest worker" doc:"Public keys that sessions are verified with; several while the key changes. Not secret."`
	SessionLifetime       time.Duration `yaml:"session_lifetime" default:"2h" doc:"How long a buyer's session lasts."`
	VerifyFiles           []string      `yaml:"verify_files" doc:"Names of the files that WeChat's console asks for at the root of a domain, MP_verify_….txt; what they hold is in the name."`
}

// Listen is where the listeners are; "" after loading means switched off.
type Listen struct {
	Notify         string `yaml:"notify" kind:"address" default:":8080" doc:"Notifications of WeChat Pay (public). off: not served."`
	Front          string `yaml:"front" kind:"address" default:":8082" doc:"Front door for pages and mini programs (public). off: not served."`
	API            string `yaml:"api" kind:"address" default:"127.0.0.1:8081" doc:"Business API (private). off: not served."`
	Console        string `yaml:"console" kind:"address" default:"127.0.0.1:8083" doc:"Operators' API (private; put TLS in front where it leaves this host). off: not served."`
	Admin          string `yaml:"admin" kind:"address" default:"127.0.0.1:9090" doc:"Health, metrics and version of each role."`
	TLSCertFile    string `yaml:"tls_cert_file" kind:"file" roles:"ingest" doc:"Certificate chain of the notify and front listeners (ECDSA advised). Unset: plain HTTP, for a proxy in front."`
	TLSKeyFile     string `yaml:"tls_key_file" kind:"secret_file" roles:"ingest" doc:"Private key of tls_cert_file."`
	MaxConnections int    `yaml:"max_connections" default:"4096" doc:"Most open connections per listener."`
}

// Waits are spans of time that tests and stand-ins shorten.
type Waits struct {
	RefundGap         time.Duration `yaml:"refund_gap" default:"60s" doc:"Between two refunds of one payment."`
	RefundPoll        time.Duration `yaml:"refund_poll" default:"60s" doc:"Between two questions about one refund."`
	FrequencyLimited  time.Duration `yaml:"frequency_limited" default:"60s" doc:"Pause after WeChat Pay says that calls come too often."`
	RefundBackoff     time.Duration `yaml:"refund_backoff" default:"10s" doc:"After a refund's call of unknown outcome, before WeChat Pay is asked about it; doubled with each further one, up to 30 times this."`
	NotEnough         time.Duration `yaml:"not_enough" default:"30m" doc:"Pause after a refund found too little money in the account."`
	UnknownQuarantine time.Duration `yaml:"unknown_quarantine" default:"10m" doc:"How long an attempt of unknown outcome keeps a refund from failing."`
	AckWait           time.Duration `yaml:"ack_wait" default:"60s" doc:"How long NATS waits before it delivers a message again."`
}

// Budgets are how many calls of each kind WeChat Pay is sent for one merchant,
// over all processes together.
type Budgets struct {
	OrderQuery  int `yaml:"order_query" default:"100" doc:"Questions about orders, a second and merchant."`
	OrderClose  int `yaml:"order_close" default:"20" doc:"Closings of orders, a second and merchant."`
	Refund      int `yaml:"refund" default:"20" doc:"Refund requests, a second and merchant. WeChat Pay takes 150, and 6 that it turns away: those count as many times more here."`
	RefundQuery int `yaml:"refund_query" default:"50" doc:"Questions about refunds, a second and merchant. WeChat Pay takes 300."`
}

// Postgres is the database.
type Postgres struct {
	URL            merchant.Secret `yaml:"url" doc:"postgres://user:password@host/database?sslmode=…; sslmode must be stated."`
	Standby        string          `yaml:"standby" default:"optional" doc:"required: take no traffic without a connected synchronous standby; or optional."`
	MaxConnections int             `yaml:"max_connections" default:"8" doc:"Most connections of each pool."`
}

// NATS is the bus.
type NATS struct {
	URL           string        `yaml:"url" kind:"nats" doc:"nats://host:4222; several servers separated by commas. No password in it."`
	Replicas      int           `yaml:"replicas" default:"1" doc:"Copies of each stream: 1, 3 or 5; 3 in production."`
	MonitorURLs   []string      `yaml:"monitor_urls" kind:"url" doc:"Monitoring address of every server (http://host:8222): the worker proves there that writes are synced."`
	PasswordFiles PasswordFiles `yaml:"password_files"`
	Passwords     Passwords     `yaml:"passwords" from:"environment"`
}

// PasswordFiles name the files of the NATS passwords; a user is a role.
type PasswordFiles struct {
	Notify     string `yaml:"notify" kind:"secret_file" roles:"ingest" doc:"Password file of NATS user notify."`
	API        string `yaml:"api" kind:"secret_file" roles:"ingest" doc:"Password file of NATS user api."`
	Front      string `yaml:"front" kind:"secret_file" roles:"ingest" doc:"Password file of NATS user front."`
	Worker     string `yaml:"worker" kind:"secret_file" roles:"worker" doc:"Password file of NATS user worker."`
	Reconciler string `yaml:"reconciler" kind:"secret_file" roles:"reconciler" doc:"Password file of NATS user reconciler."`
	Console    string `yaml:"console" kind:"secret_file" roles:"console" doc:"Password file of NATS user console."`
}

// Passwords are the NATS passwords themselves. They never stand in the YAML
// file; empty means that NATS asks for none.
type Passwords struct {
	Notify     merchant.Secret `yaml:"notify" env:"FENFLOW_NATS_NOTIFY_PASSWORD" roles:"ingest" doc:"Password of NATS user notify."`
	API        merchant.Secret `yaml:"api" env:"FENFLOW_NATS_API_PASSWORD" roles:"ingest" doc:"Password of NATS user api."`
	Front      merchant.Secret `yaml:"front" env:"FENFLOW_NATS_FRONT_PASSWORD" roles:"ingest" doc:"Password of NATS user front."`
	Worker     merchant.Secret `yaml:"worker" env:"FENFLOW_NATS_WORKER_PASSWORD" roles:"worker" doc:"Password of NATS user worker."`
	Reconciler merchant.Secret `yaml:"reconciler" env:"FENFLOW_NATS_RECONCILER_PASSWORD" roles:"reconciler" doc:"Password of NATS user reconciler."`
	Console    merchant.Secret `yaml:"console" env:"FENFLOW_NATS_CONSOLE_PASSWORD" roles:"console" doc:"Password of NATS user console."`
}

// Redis is where the schedule lives; wiping it loses nothing.
type Redis struct {
	URL merchant.Secret `yaml:"url" doc:"redis://host:6379/0."`
}

// Log is how logs are written.
type Log struct {
	Level  string `yaml:"level" default:"info" doc:"debug, info, warn or error."`
	Format string `yaml:"format" default:"json" doc:"json or text."`
}

package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// validator checks what was read and narrowed; values that are not there are
// checked only where the role requires them.
type validator struct {
	config   *Config
	broken   map[string]bool // these have been reported already
	problems Problems
	notices  []Problem
}

func (v *validator) run() {
	v.merchants()
	v.front()
	v.addresses()
	v.urls()
	v.waits()
	v.budgets()
	v.postgres()
	v.choices()
	v.required()
}

func (v *validator) fail(key, format string, args ...any) {
	if !v.broken[key] {
		v.problems = append(v.problems, Problem{Key: key, Origin: v.config.loaded.origins[key], Message: fmt.Sprintf(format, args...)})
	}
}

func (v *validator) note(key, format string, args ...any) {
	v.notices = append(v.notices, Problem{Key: key, Origin: v.config.loaded.origins[key], Message: fmt.Sprintf(format, args...)})
}

func (v *validator) required() {
	for _, key := range v.config.Lacks(v.config.loaded.role) {
		v.fail(key, "is not set: %s needs it%s", v.config.loaded.role, otherWay(key))
	}
}

// otherWay names the variable of a key, for whoever has no file at hand.
func otherWay(key string) string {
	for _, f := range fieldsOf(&Config{}) {
		if f.key == key && f.settable() {
			return " (variable " + f.env + ")"
		}
	}
	return ""
}

func (v *validator) addresses() {
	l := v.config.Listen
	taken := map[string]string{}
	for _, a := range []struct{ key, address string }{
		{"listen.notify", l.Notify}, {"listen.front", l.Front}, {"listen.api", l.API}, {"listen.console", l.Console}, {"listen.admin", l.Admin},
	} {
		if a.address == "" {
			continue
		}
		if err := checkAddress(a.address); err != nil {
			v.fail(a.key, "%v", err)
			continue
		}
		_, port, _ := net.SplitHostPort(a.address)
		if other, twice := taken[a.address]; twice && port != "0" {
			v.fail(a.key, "is %s, the same as %s: give each listener a port of its own", a.address, other)
		}
		taken[a.address] = a.key
	}
	if l.Admin == "" {
		v.fail("listen.admin", "cannot be off: health and metrics are there")
	}
	if (l.TLSCertFile == "") != (l.TLSKeyFile == "") && v.config.loaded.role != RoleAny {
		v.fail("listen.tls_key_file", "and listen.tls_cert_file belong together: set both or neither")
	}
	if l.MaxConnections < 1 {
		v.fail("listen.max_connections", "must be at least 1")
	}
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not a listen address, such as :8080 or 127.0.0.1:8080", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port between 0 and 65535", address)
	}
	return nil
}

// notifyURLLimit is the most characters of a notify_url (WeChat Pay doc 4012791834).
const notifyURLLimit = 256

// longestNotifyPath stands behind public_url: "/notify/v2/<32 digits>/refund".
const longestNotifyPath = len("/notify/v2//refund") + 32

func (v *validator) urls() {
	c := v.config
	v.publicURL(c.PublicURL)
	v.webURL("wechatpay.base_url", c.WeChatPay.BaseURL)
	v.webURL("wechatpay.backup_url", c.WeChatPay.BackupURL)
	if u, err := url.Parse(c.WeChatPay.BaseURL); err == nil && u.Scheme == "http" {
		v.note("wechatpay.base_url", "is plain http: right for a stand-in only, never for WeChat Pay")
	}
	for _, address := range c.NATS.MonitorURLs {
		v.webURL("nats.monitor_urls", address)
	}
	for server := range strings.SplitSeq(c.NATS.URL, ",") {
		v.natsURL(strings.TrimSpace(server))
	}
	v.redisURL(c.Redis.URL)
}

func (v *validator) publicURL(text string) {
	if text == "" {
		return
	}
	u, ok := v.webURL("public_url", text)
	switch {
	case !ok:
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		v.fail("public_url", "must have no query and no fragment: WeChat Pay refuses a notify_url with parameters")
	case len(text)+longestNotifyPath > notifyURLLimit:
		v.fail("public_url", "is too long: a notify_url has at most %d characters", notifyURLLimit)
	case u.Scheme == "http":
		v.note("public_url", "is plain http: WeChat Pay asks for https")
	}
}

func (v *validator) webURL(key, text string) (*url.URL, bool) {
	if text == "" {
		return nil, false
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		v.fail(key, "is not an http or https address, such as https://pay.example.com")
		return nil, false
	case u.User != nil:
		v.fail(key, "must have no user name and no password")
		return nil, false
	}
	return u, true
}

func (v *validator) natsURL(text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
		v.fail("nats.url", "is not a NATS address, such as nats://127.0.0.1:4222")
	case u.User != nil:
		v.fail("nats.url", "must have no user name and no password: each role has its own (nats.password_files, or FENFLOW_NATS_<USER>_PASSWORD)")
	}
}

func (v *validator) redisURL(secret merchant.Secret) {
	if secret == "" {
		return
	}
	u, err := url.Parse(secret.Reveal())
	if err != nil || u.Host == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		v.fail("redis.url", "is not a Redis address, such as redis://127.0.0.1:6379/0")
	}
}

func (v *validator) waits() {
	for _, f := range fieldsOf(v.config) {
		if wait, is := f.value.Interface().(time.Duration); is && wait <= 0 {
			v.fail(f.key, "must be longer than 0")
		}
	}
}

func (v *validator) budgets() {
	b := v.config.Budgets
	for _, budget := range []struct {
		key     string
		calls   int
		ceiling int // what WeChat Pay takes, where it says (docs 4012075249, 4014959631)
	}{
		{"budgets.order_query", b.OrderQuery, 10_000}, {"budgets.order_close", b.OrderClose, 10_000},
		{"budgets.refund", b.Refund, 150}, {"budgets.refund_query", b.RefundQuery, 300},
	} {
		if budget.calls < 1 || budget.calls > budget.ceiling {
			v.fail(budget.key, "must be 1 to %d calls a second", budget.ceiling)
		}
	}
}

func (v *validator) postgres() {
	p := v.config.Postgres
	if p.MaxConnections < 1 && p.Standby != "" {
		v.fail("postgres.max_connections", "must be at least 1")
	}
	if p.URL == "" {
		return
	}
	u, err := url.Parse(p.URL.Reveal())
	switch {
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
		v.fail("postgres.url", "is not a database address, such as postgres://fenflow@127.0.0.1:5432/fenflow?sslmode=verify-full")
	case u.Query().Get("sslmode") == "":
		v.fail("postgres.url", "must state sslmode: verify-full, or disable on the same machine")
	}
}

func (v *validator) choices() {
	c := v.config
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "json", "text")
	v.oneOf("postgres.standby", c.Postgres.Standby, "optional", "required")
	if !slices.Contains([]int{1, 3, 5}, c.NATS.Replicas) {
		v.fail("nats.replicas", "must be 1, 3 or 5")
	}
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		v.fail(key, "is %q, must be %s", value, strings.Join(allowed, " or "))
	}
}

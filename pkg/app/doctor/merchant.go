package doctor

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// certificateSoon is how long before its end a certificate is told of: the
// merchant platform takes days, and one person there.
const certificateSoon = 30 * 24 * time.Hour

// merchant reads all that a role of this machine reads of a merchant: its keys
// parse, have the right length, and belong together.
func (d *doctor) merchant(id pay.MchID) []outcome {
	if c, there := d.of(config.RoleWorker, config.RoleReconciler); there {
		cred, err := c.Credentials(id)
		if err != nil {
			return unusable(err)
		}
		return d.credentials(cred)
	}
	c, there := d.of(config.RoleIngest)
	if !there {
		return skipped("no role of this machine reads a merchant's files")
	}
	keys, err := c.PublicKeys(id)
	if err != nil {
		return unusable(err)
	}
	return ok("public keys: %s (the secrets are with worker and reconciler)", ids(keys))
}

func unusable(err error) []outcome {
	return each(problemsOf(err), func(p problem.Field) outcome {
		return outcome{Fail, p.Message, problem.SecretUnreadable.Entry().NextStep}
	})
}

func (d *doctor) credentials(cred *merchant.Credentials) []outcome {
	var has []string
	add := func(is bool, text string) {
		if is {
			has = append(has, text)
		}
	}
	add(cred.PrivateKey != nil, "private key")
	add(len(cred.APIv3Keys) > 0, counted(len(cred.APIv3Keys), "APIv3 key"))
	add(len(cred.APIv2Keys) > 0, counted(len(cred.APIv2Keys), "APIv2 key"))
	add(cred.Keyring.Len() > 0, "public keys: "+ids(cred.Keyring.All()))
	add(cred.Merchant.PlatformCertificates, "platform certificates are fetched")
	said := strings.Join(has, "; ")
	if cred.ClientCertificate == nil {
		return ok("%s", said)
	}
	left := cred.ClientCertificate.Leaf.NotAfter.Sub(d.Now())
	said += fmt.Sprintf("; API certificate fits the private key and lasts %s more", counted(days(left), "day"))
	const fix = "Apply for a new API certificate in the merchant platform (account centre, API security), and set private_key_file, client_certificate_file and merchant_serial."
	switch {
	case left <= 0:
		return fail(fix, "the API certificate ended on %s", cred.ClientCertificate.Leaf.NotAfter.UTC().Format(time.DateOnly))
	case left < certificateSoon:
		return warn(fix, "%s", said)
	}
	return ok("%s", said)
}

func ids(keys []merchant.PublicKey) string {
	if len(keys) == 0 {
		return "none"
	}
	var all []string
	for _, k := range keys {
		all = append(all, k.ID)
	}
	return strings.Join(all, ", ")
}

// notifyURL looks at where WeChat Pay is told to post: https, on a name or
// address that it can reach (WeChat Pay doc 4012791834). Its shape, without a
// query and short enough, is a matter of configuration.role.
func (d *doctor) notifyURL(context.Context) []outcome {
	u, err := url.Parse(d.all.PublicURL)
	if d.all.PublicURL == "" || err != nil || u.Host == "" {
		return skipped("public_url is not set, or no address")
	}
	var urls []string
	for _, m := range d.all.Merchants() {
		urls = append(urls, d.all.NotifyURL(m))
	}
	genuine := isWeChatPay(d.all.WeChatPay.BaseURL)
	const fix = "Set public_url to the https address of ingest (or of the proxy before it) on the internet."
	switch private := isPrivate(u.Hostname()); {
	case genuine && u.Scheme != "https":
		return fail(fix, "public_url is %s: WeChat Pay posts to https", d.all.PublicURL)
	case genuine && private:
		return fail(fix, "public_url is %s: WeChat Pay cannot reach that", d.all.PublicURL)
	case u.Scheme != "https":
		return warn(fix, "public_url is plain http: right for a stand-in only, and wechatpay.base_url (%s) is one", d.all.WeChatPay.BaseURL)
	}
	return ok("%s", strings.Join(urls, ", "))
}

// isWeChatPay tells WeChat Pay from a stand-in.
func isWeChatPay(base string) bool {
	u, err := url.Parse(base)
	return err == nil && strings.HasSuffix("."+u.Hostname(), ".weixin.qq.com")
}

func isPrivate(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()
	}
	return !strings.Contains(host, ".") || slices.ContainsFunc([]string{".local", ".localhost", ".internal", ".lan"}, func(end string) bool { return strings.HasSuffix(host, end) })
}

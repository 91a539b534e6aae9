package doctor

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
)

// frontApp judges what is set for one app. What WeChat has registered cannot be
// asked for: it says what to compare.
func (d *doctor) frontApp(c config.Config, a config.AppEntry) []outcome {
	found := slices.Concat(d.appSecret(a), addresses(c, a), appDomains(c, a))
	if len(found) > 0 {
		return found
	}
	said := a.Kind
	if d.concerns(config.RoleWorker) {
		said += ", with its secret"
	}
	if compare := registered(c, a); len(compare) > 0 {
		said += ". To compare at " + console(a.Kind) + ", which cannot be asked: " + strings.Join(compare, "; ")
	}
	return ok("%s", said)
}

func (d *doctor) appSecret(a config.AppEntry) []outcome {
	if d.concerns(config.RoleWorker) && a.SecretFile == "" {
		return warn("Put the AppSecret, which "+console(a.Kind)+" shows once, into a file, and name it in secret_file.", "it has no secret_file: nobody can log in there, and its pages get no signatures")
	}
	return nil
}

// addresses judges where logins lead back to. Kinds that log in without a page may
// have some, for H5 payments.
func addresses(c config.Config, a config.AppEntry) []outcome {
	kind := merchant.AppKind(a.Kind)
	if len(a.RedirectURLs) == 0 && (kind == merchant.KindOfficialAccount || kind == merchant.KindWebsite) {
		return warn("List the pages of the shop in redirect_urls, each as https://host/folder/.", "it has no redirect_urls: a login on the web may lead back to no page")
	}
	var found []outcome
	for _, address := range a.RedirectURLs {
		u, err := url.Parse(address)
		if err != nil || u.Scheme == "https" || isLoopback(address) {
			continue // what is no address is configuration.file's
		}
		o := outcome{Warn, fmt.Sprintf("a login may lead back to %s: plain http, on which its ticket can be read", address), "Serve that page over https, and write it so in redirect_urls."}
		if isWeChatPay(c.WeChat.BaseURL) {
			o.verdict = Fail
		}
		found = append(found, o)
	}
	return found
}

// appDomains judges the domains of pages that call wx.config.
func appDomains(c config.Config, a config.AppEntry) []outcome {
	if len(a.JSDomains) == 0 {
		return nil
	}
	if merchant.AppKind(a.Kind) != merchant.KindOfficialAccount {
		return warn("Move js_domains to the official account whose pages these are.", "it is of kind %s, and wx.config is for pages of official accounts", a.Kind)
	}
	var found []outcome
	for _, domain := range a.JSDomains {
		if host := hostname(domain); isWeChatPay(c.WeChat.BaseURL) && isPrivate(host) {
			found = append(found, outcome{Warn, "js_domains has " + domain + ", which WeChat takes for no JS-safe domain", "Name the domain on the internet, with an ICP filing."})
		}
	}
	return found
}

// hostname is a domain without a port.
func hostname(domain string) string {
	u, err := url.Parse("https://" + domain)
	if err != nil {
		return domain
	}
	return u.Hostname()
}

// registered lists what the console must have, in its own words.
func registered(c config.Config, a config.AppEntry) []string {
	u, err := url.Parse(c.FrontURL())
	if err != nil || u.Host == "" {
		return nil
	}
	var domains []string
	for _, domain := range a.JSDomains {
		domains = append(domains, hostname(domain))
	}
	switch merchant.AppKind(a.Kind) {
	case merchant.KindOfficialAccount:
		compare := []string{"OAuth domain (网页授权域名) " + u.Hostname()}
		if len(domains) > 0 {
			compare = append(compare, "JS-safe domains (JS接口安全域名) "+strings.Join(domains, ", "))
		}
		return compare
	case merchant.KindWebsite:
		return []string{"callback domain (授权回调域) " + u.Hostname()}
	case merchant.KindMiniProgram:
		return []string{"server domain (request合法域名) " + u.Scheme + "://" + u.Host}
	case merchant.KindApp:
	}
	return nil
}

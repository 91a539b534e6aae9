package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	// verifyFileShape is what WeChat's console names its files: letters and digits
	// after the prefix, and nothing else in them.
	verifyFileShape = regexp.MustCompile(`^MP_verify_([0-9A-Za-z]{4,64})\.txt$`)
	domainShape     = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)
)

func (v *validator) front() {
	f := v.config.Front
	v.webURL("wechat.base_url", v.config.WeChat.BaseURL)
	v.webURL("wechat.open_url", v.config.WeChat.OpenURL)
	if u, ok := v.webURL("front.url", f.URL); ok && (u.RawQuery != "" || u.Fragment != "") {
		v.fail("front.url", "must have no query and no fragment")
	}
	for _, name := range f.VerifyFiles {
		if !verifyFileShape.MatchString(name) {
			v.fail("front.verify_files", "%q is not the name of a file that WeChat's console asks for, such as MP_verify_AbCdEf123456.txt", name)
		}
	}
	v.frontApps(f)
}

// frontApps checks what a front door cannot do without.
func (v *validator) frontApps(f Front) {
	places := map[string][]string{} // where each appid stands
	for i, e := range v.config.Entries {
		for n, a := range e.Apps {
			places[a.AppID] = append(places[a.AppID], fmt.Sprintf("merchants[%d].apps[%d]", i, n))
		}
	}
	for i, e := range v.config.Entries {
		for n, a := range e.Apps {
			at := fmt.Sprintf("merchants[%d].apps[%d]", i, n)
			v.app(at, a)
			v.oneOwner(at, a, places[a.AppID])
			if a.SecretFile != "" && f.SessionKeyFile == "" {
				v.fail("front.session_key_file", "is not set: buyers who log in at appid %s need sessions; make a key with `fenflow key session`", a.AppID)
			}
		}
	}
}

// oneOwner: buyers and WeChat name the app and nothing else.
func (v *validator) oneOwner(at string, a AppEntry, places []string) {
	if len(places) == 1 || a.SecretFile == "" && a.MessageTokenFile == "" {
		return
	}
	setting := at + ".secret_file"
	if a.SecretFile == "" {
		setting = at + ".message_token_file"
	}
	others := slices.DeleteFunc(slices.Clone(places), func(place string) bool { return place == at })
	v.fail(setting, "belongs to appid %s, which stands at %s, too: an app whose buyers log in, or send messages, is one merchant's, and listed once", a.AppID, strings.Join(others, " and "))
}

func (v *validator) app(at string, a AppEntry) {
	for _, text := range a.RedirectURLs {
		u, ok := v.webURL(at+".redirect_urls", text)
		if ok && (u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.EscapedPath(), "..") || strings.Contains(text, "#")) {
			v.fail(at+".redirect_urls", "%s must have no query, no fragment and no \"..\"", text)
		}
	}
	for _, domain := range a.JSDomains {
		if _, err := url.Parse("https://" + domain); err != nil || !domainShape.MatchString(domain) {
			v.fail(at+".js_domains", "%q is not a domain in lower case, such as shop.example.com", domain)
		}
	}
	for n, r := range a.MessageReplies {
		v.reply(fmt.Sprintf("%s.message_replies[%d]", at, n), r)
	}
}

func (v *validator) reply(at string, r ReplyEntry) {
	if !v.config.loaded.role.holdsSecrets() && v.config.loaded.role != RoleAny || v.config.loaded.role == RoleReconciler {
		return // it was narrowed away
	}
	if r.On == "" {
		v.fail(at+".on", "is not set: name what it replies to, such as text or subscribe")
	}
	if kinds := len(slices.DeleteFunc([]bool{r.Text != "", r.ImageMediaID != "", r.TransferToService}, func(is bool) bool { return !is })); kinds != 1 {
		v.fail(at+".text", "is one of three: set text, image_media_id or transfer_to_service: true")
	}
}

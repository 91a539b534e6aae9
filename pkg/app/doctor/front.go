package doctor

import (
	"context"
	"crypto/ed25519"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/session"
)

// front looks at the front door: the keys of sessions, the address, the apps, and
// what WeChat's console wants to find there. Where nothing of it is set, nobody
// wants one.
func (d *doctor) front() []check {
	c, there := d.of(config.RoleWorker, config.RoleIngest)
	if !there || !wantsFront(c) {
		return nil
	}
	checks := []check{
		{name: "front.session_keys", look: func(context.Context) []outcome { return d.sessionKeys(c.Front) }},
		{name: "front.url", look: func(context.Context) []outcome { return frontURL(c) }},
	}
	for _, e := range c.Entries {
		for _, a := range e.Apps {
			if isOfFront(a) {
				checks = append(checks, check{name: "front.app", subject: a.AppID, look: func(context.Context) []outcome { return d.frontApp(c, a) }})
			}
		}
	}
	return append(checks, d.frontAnswers(c)...)
}

func wantsFront(c config.Config) bool {
	return c.Front.Open() || c.Front.SessionKeyFile != "" || slices.ContainsFunc(c.Entries, func(e config.Entry) bool {
		return slices.ContainsFunc(e.Apps, isOfFront)
	})
}

// isOfFront: an app with none of these only names where orders are paid.
func isOfFront(a config.AppEntry) bool {
	return a.SecretFile != "" || len(a.RedirectURLs) > 0 || len(a.JSDomains) > 0
}

const (
	fixKeys = "Make a pair with `fenflow key session`: session.key is for front.session_key_file of the worker, session.pub for front.session_public_key_files of ingest."
	fixPair = "Put the session.pub that `fenflow key session` wrote beside the private key into front.session_public_key_files."
)

// sessionKeys reads both halves, as far as they are on this machine: what the
// worker signs with, the edge must know.
func (d *doctor) sessionKeys(f config.Front) []outcome {
	public, err := f.SessionPublicKeys()
	if err != nil {
		return fail(fixKeys, "%v", err)
	}
	private, err := f.SessionKey()
	if err != nil {
		return fail(fixKeys, "%v", err)
	}
	known := make([]string, len(public))
	for i, key := range public {
		known[i] = session.KeyID(key)
	}
	switch {
	case private == nil && len(known) == 0:
		return warn(fixKeys, "neither half of a key is set: nobody can log in, and the front door is shut")
	case private == nil && d.concerns(config.RoleWorker):
		return fail(fixKeys, "front.session_key_file is not set: sessions of %s can be verified, and nobody signs any", strings.Join(known, ", "))
	case private == nil:
		return ok("sessions of %s are taken (the private key is with the worker)", strings.Join(known, ", "))
	}
	return d.pair(private, known)
}

func (d *doctor) pair(private ed25519.PrivateKey, known []string) []outcome {
	half, _ := private.Public().(ed25519.PublicKey) // the public half of Ed25519 is one
	signs := session.KeyID(half)
	switch {
	case len(known) == 0 && d.concerns(config.RoleIngest):
		return warn(fixPair, "the worker signs with %s, and front.session_public_key_files is not set: the front door is shut", signs)
	case len(known) == 0:
		return ok("the worker signs with %s; ingest must have its public half", signs)
	case !slices.Contains(known, signs):
		return fail(fixPair, "the worker signs with %s, and only sessions of %s are taken: every buyer who logs in is turned away", signs, strings.Join(known, ", "))
	case len(known) == 1:
		return ok("the worker signs with %s, and its sessions are taken", signs)
	}
	return ok("the worker signs with %s; sessions of %s are taken", signs, strings.Join(known, ", "))
}

// frontURL judges where buyers are sent. Sessions are on their way there: plain
// http is for stand-ins on one machine.
func frontURL(c config.Config) []outcome {
	address := c.FrontURL()
	u, err := url.Parse(address)
	const fix = "Set front.url to the https address of listen.front (or of the proxy before it) on the internet."
	genuine := isWeChatPay(c.WeChat.BaseURL)
	switch {
	case err != nil || u.Host == "":
		return fail(fix, "neither front.url nor public_url says where buyers reach the front door")
	case genuine && u.Scheme != "https":
		return fail(fix, "buyers are sent to %s: plain http, on which sessions can be read", address)
	case genuine && isPrivate(u.Hostname()):
		return fail(fix, "buyers are sent to %s: nobody outside reaches that", address)
	case u.Scheme != "https" && !isLoopback(address):
		return warn(fix, "buyers are sent to %s: plain http is right on one machine, with a stand-in", address)
	}
	return ok("buyers are sent to %s", address)
}

// isLoopback says whether an address is this machine's own.
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// console is where an app of a kind is looked after.
func console(kind string) string {
	switch merchant.AppKind(kind) {
	case merchant.KindWebsite, merchant.KindApp:
		return "open.weixin.qq.com (开放平台)"
	case merchant.KindMiniProgram, merchant.KindOfficialAccount:
	}
	return "mp.weixin.qq.com (公众平台)"
}

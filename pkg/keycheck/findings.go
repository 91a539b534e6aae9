package keycheck

import (
	"fmt"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const (
	// certificateNotice: WeChat Pay lists a new certificate ten days before the
	// old one expires (WeChat Pay doc 4012068829).
	certificateNotice = 10
	// ownNotice is time for people to ask for a certificate and to install it.
	ownNotice = 30
)

// findings are what follows from a report.
func findings(cred *merchant.Credentials, r *Report) []Finding {
	all := []Finding{r.traffic()}
	for _, lack := range r.Merchant.Missing {
		all = append(all, Finding{"keys", LevelFail, lack, "Correct the merchant's key files in fenflow.yaml; `fenflow config check --secrets` opens them all."})
	}
	all = append(all, r.decryption()...)
	all = append(all, r.expiry(cred)...)
	if cred.Merchant.Protocol != pay.ProtocolV2 || cred.Keyring.Len() > 0 {
		all = append(all, r.kinds(cred)...)
	}
	if r.Rehearsal != nil {
		all = append(all, r.Rehearsal.findings(r)...)
	}
	if r.Live != nil {
		all = append(all, r.Live.finding())
	}
	return all
}

func (r *Report) traffic() Finding {
	switch {
	case r.Looked == 0:
		return Finding{"traffic", LevelNote, "no notification of this merchant is stored: nothing can be verified or rehearsed", ""}
	case r.Failed == 0:
		return Finding{"traffic", LevelOK, fmt.Sprintf("%s the keys of now", r.passing()), ""}
	}
	f := r.Failures[0]
	return Finding{
		"traffic", LevelFail, fmt.Sprintf("%d of %s would not pass now; the latest is delivery %s: %s", r.Failed, r.latest(), f.DeliveryID, f.Detail),
		fixOf(f),
	}
}

func (r *Report) latest() string {
	if r.Looked == 1 {
		return "the last notification"
	}
	text := fmt.Sprintf("the last %d notifications", r.Looked)
	if r.Cut {
		text += " (there was no time for more)"
	}
	return text
}

func (r *Report) passing() string {
	if r.Looked == 1 {
		return r.latest() + " passes with"
	}
	return r.latest() + " pass with"
}

func fixOf(f Failure) string {
	switch wechatpay.RejectReason(f.Reason) {
	case wechatpay.ReasonUnknownSerial:
		return "Put the key back: a message that WeChat Pay repeats would be refused. Only then change anything else."
	case wechatpay.ReasonDecryptFailed:
		return "List the previous key in api_v3_key_files (api_v2_key_files), after the current one."
	default:
		return "Look at it: `fenflow notification show " + f.DeliveryID + "`. If it became a dead letter, nothing believed it."
	}
}

// decryption tells of keys beside the current one.
func (r *Report) decryption() (all []Finding) {
	for _, c := range r.Ciphers {
		switch {
		case c.Place == 1 || r.Looked == 0:
		case c.Decrypted > 0:
			all = append(all, Finding{"decryption", LevelNote, fmt.Sprintf("key %d of %s decrypted %d of them, the latest of %s: keep it", c.Place, c.Setting, c.Decrypted, at(c.LastAt)), ""})
		case c.Setting == "api_v3_key_files":
			all = append(all, Finding{"decryption", LevelNote, fmt.Sprintf("key %d of %s decrypted none of them: it can go, once nothing older is to be replayed", c.Place, c.Setting), ""})
		}
	}
	return all
}

// expiry looks at the last of WeChat Pay's certificates and at the merchant's own.
func (r *Report) expiry(cred *merchant.Credentials) (all []Finding) {
	var last *Key
	for i, k := range r.Merchant.Keys {
		if k.Kind == KindCertificate && k.State != StateRetired && (last == nil || k.ExpiresAt.After(last.ExpiresAt)) {
			last = &r.Merchant.Keys[i]
		}
	}
	if last != nil {
		all = append(all, expires("platform certificate "+last.ID, *last.DaysLeft, certificateNotice,
			"It has no successor here. WeChat Pay lists the next one ten days before, and a worker fetches it each hour: look for \"platform certificates are not up to date\" in the worker's log."))
	}
	own := r.Merchant.Certificate
	switch {
	case own != nil && own.DaysLeft != nil:
		all = append(all, expires("the merchant's own certificate "+own.Serial, *own.DaysLeft, ownNotice,
			"Ask for a new one in the merchant platform (account centre, API security); then change private_key_file, client_certificate_file and merchant_serial together."))
	case cred.Merchant.Protocol != pay.ProtocolV2:
		all = append(all, Finding{"expiry", LevelNote, "when the merchant's own certificate expires is not known: client_certificate_file is not set", ""})
	}
	return all
}

func expires(what string, left, notice int, fix string) Finding {
	switch {
	case left < 0:
		return Finding{"expiry", LevelFail, what + " has expired", fix}
	case left < notice:
		return Finding{"expiry", LevelFail, fmt.Sprintf("%s expires in %s", what, days(left)), fix}
	}
	return Finding{"expiry", LevelOK, fmt.Sprintf("%s expires in %s", what, days(left)), ""}
}

// kinds tells whether both kinds of keys would pass, and each alone.
func (r *Report) kinds(cred *merchant.Credentials) (all []Finding) {
	public, certificates := r.Modes[0], r.Modes[1]
	switch {
	case r.BothPass:
		all = append(all, Finding{"modes", LevelOK, "both kinds of keys are ready: notifications pass whichever WeChat Pay signs with", ""})
	case public.Ready && cred.Merchant.PlatformCertificates:
		all = append(all, Finding{"modes", LevelNote, "the public key is ready; of platform certificates none is valid: WeChat Pay has none for this merchant, or none was fetched yet", ""})
	case public.Ready:
		all = append(all, Finding{"modes", LevelNote, "the public key is ready; platform certificates are not fetched (platform_certificates)", ""})
	case certificates.Ready:
		all = append(all, Finding{
			"modes", LevelNote, "platform certificates are ready, and no public key is: once WeChat Pay signs with one, those notifications are answered 503",
			"Before the switch is started in the merchant platform, add the public key to wechatpay_public_keys; `fenflow merchant check " + r.Merchant.MchID + " --with FILE --id PUB_KEY_ID_…` rehearses it.",
		})
	}
	if public.Ready && certificates.Ready && public.Alone.Passed+public.Alone.Failed > 0 {
		all = append(all, alone("public keys", "platform certificates", public.Alone), alone("platform certificates", "public keys", certificates.Alone))
	}
	return all
}

func alone(these, others string, o Outcome) Finding {
	if o.Failed == 0 {
		return Finding{"modes", LevelNote, fmt.Sprintf("with %s alone all %d would pass", these, o.Passed), ""}
	}
	return Finding{"modes", LevelNote, fmt.Sprintf("with %s alone %d of %d would fail: keep the %s; the latest is delivery %s", these, o.Failed, o.Passed+o.Failed, others, o.LatestFailure.DeliveryID), ""}
}

func (h *Rehearsal) findings(r *Report) (all []Finding) {
	change, tried := h.change(), h.Passed+h.Failed
	switch {
	case tried == 0:
		all = append(all, Finding{"rehearsal", LevelNote, change + ": there is no traffic to rehearse with", ""})
	case h.Failed == 0:
		all = append(all, Finding{"rehearsal", LevelOK, fmt.Sprintf("%s: all %d would pass", change, tried), ""})
	default:
		f := h.LatestFailure
		all = append(all, Finding{
			"rehearsal", LevelFail, fmt.Sprintf("%s: %d of %d would fail; the latest is delivery %s of %s: %s", change, h.Failed, tried, f.DeliveryID, at(f.ReceivedAt), f.Detail),
			"Do not change the keys like this yet. WeChat Pay repeats notifications for 24 hours: rehearse again when it has not used the key for a day.",
		})
	}
	if h.With != "" {
		all = append(all, h.samples(r.Merchant.MchID))
	}
	return all
}

func (h *Rehearsal) change() string {
	var parts []string
	if h.With != "" {
		parts = append(parts, "with "+h.With)
	}
	if h.Without != "" {
		parts = append(parts, "without "+h.Without)
	}
	switch h.Only {
	case KindPublicKey:
		parts = append(parts, "with public keys only")
	case KindCertificate:
		parts = append(parts, "with platform certificates only")
	}
	return strings.Join(parts, ", ")
}

// samples say whether the file and the id of a new key belong together.
func (h *Rehearsal) samples(mchid string) Finding {
	switch {
	case h.SamplesPass > 0:
		return Finding{"rehearsal", LevelOK, fmt.Sprintf("the key verifies %d of %d notifications that were turned away for want of it; `fenflow rejected ls --mchid %s` lists them", h.SamplesPass, h.Samples, mchid), ""}
	case h.Samples > 0:
		return Finding{
			"rehearsal", LevelFail, fmt.Sprintf("the key verifies none of %d notifications that name it and were turned away", h.Samples),
			"Download pub_key.pem again and compare its id, character by character: file and id do not belong together, or all of these were forged.",
		}
	}
	return Finding{"rehearsal", LevelNote, "no notification has named this key yet, so nothing proves that the file belongs to the id", ""}
}

func (l *Live) finding() Finding {
	switch {
	case l.Accepted:
		return Finding{"live", LevelOK, l.Detail, ""}
	case l.away:
		return Finding{"live", LevelNote, l.Detail, "This says nothing about the keys: run it again when WeChat Pay can be reached."}
	}
	return Finding{
		"live", LevelFail, l.Detail,
		"Compare merchant_serial with private_key_file (`openssl x509 -serial` of the certificate that came with the key), and this machine's clock with NTP; then run it again.",
	}
}

func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func days(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// storedLooked is how many of a merchant's newest notifications are opened
// again: some days of a small shop, and some milliseconds each.
const storedLooked = 200

// traffic opens stored notifications with the keys of now: whoever changed a key
// learns here whether yesterday's traffic would still pass.
func (d *doctor) traffic() []check {
	c, there := d.of(config.RoleWorker, config.RoleReconciler)
	if !there {
		return nil
	}
	var checks []check
	for _, m := range c.Merchants() {
		checks = append(checks, check{
			name: "keys.stored_traffic", subject: string(m.MchID), needs: []string{"configuration.merchant/" + string(m.MchID), "postgres.reachable", "postgres.schema"},
			look: func(ctx context.Context) []outcome { return d.storedTraffic(ctx, c, m.MchID) },
		})
	}
	return checks
}

// tally counts what becomes of stored notifications now.
type tally struct {
	keys    map[string]int // how many each key opens
	refused map[refusal]int
	example map[refusal]string
}

// refusal is one way of not being opened. What was verified when it came, and is
// not now, is a matter of keys; what never was may be a forgery.
type refusal struct {
	reason  wechatpay.RejectReason
	genuine bool
}

func (d *doctor) storedTraffic(ctx context.Context, c config.Config, id pay.MchID) []outcome {
	cred, err := c.Credentials(id)
	if err != nil {
		return unusable(err)
	}
	if err := d.addCertificates(ctx, cred); err != nil {
		return unread(err)
	}
	stored, err := d.books.LatestNotifications(ctx, id, storedLooked)
	if err != nil {
		return unread(err)
	}
	if len(stored) == 0 {
		return skipped("no notification of this merchant is stored yet")
	}
	t := tally{map[string]int{}, map[refusal]int{}, map[refusal]string{}}
	for _, n := range stored {
		t.open(wechatpay.Envelope{DeliveryID: n.DeliveryID, MchID: id, Kind: n.Kind, ReceivedAt: n.ReceivedAt, Headers: n.Headers, Body: n.Body}, cred, n.KeyID != "")
	}
	return t.outcomes(len(stored))
}

// addCertificates puts the platform certificates that a worker fetched and
// verified beside the configured keys, as the worker does.
func (d *doctor) addCertificates(ctx context.Context, cred *merchant.Credentials) error {
	if !cred.Merchant.PlatformCertificates {
		return nil
	}
	stored, err := d.books.PlatformCertificates(ctx, cred.Merchant.MchID)
	if err != nil {
		return err //nolint:wrapcheck // the books name the step
	}
	for _, s := range stored {
		key, err := merchant.ParseCertificatePEM(s.PEM)
		if err != nil {
			return fmt.Errorf("platform certificate %s: %w", s.Serial, err)
		}
		cred.Keyring.Put(key)
	}
	return nil
}

func (t tally) open(env wechatpay.Envelope, cred *merchant.Credentials, genuine bool) {
	n, err := wechatpay.Open(env, cred)
	var why *wechatpay.VerifyError
	switch {
	case err == nil:
		t.keys[n.KeyID]++
	case errors.As(err, &why):
		r := refusal{why.Reason, genuine || why.Reason == wechatpay.ReasonDecryptFailed} // decrypted is only what verifies
		t.refused[r]++
		t.example[r] = why.Detail
	}
}

// outcomes tell of keys. What is genuine and no payment of this merchant's is a
// dead letter, and none of our business.
func (t tally) outcomes(looked int) []outcome {
	var found []outcome
	strangers := 0
	for _, r := range slices.SortedFunc(maps.Keys(t.refused), func(a, b refusal) int { return strings.Compare(string(a.reason), string(b.reason)) }) {
		n := t.refused[r]
		switch {
		case r.reason == wechatpay.ReasonMalformed, r.reason == wechatpay.ReasonMismatch, r.reason == wechatpay.ReasonBodyTooLarge:
		case r.genuine:
			found = append(found, outcome{Fail, fmt.Sprintf("%d of the newest %d are not opened by the keys of now (%s): %s", n, looked, r.reason, t.example[r]), fixOfKeys(r.reason)})
		default:
			strangers += n
		}
	}
	if strangers > 0 {
		found = append(found, outcome{Warn, fmt.Sprintf("%d of the newest %d were never verified: forgeries, or a key that is not configured", strangers, looked),
			"Look at them: `fenflow dead-letter ls --reason bad_signature`."})
	}
	if len(found) > 0 {
		return found
	}
	var by []string
	for _, id := range slices.Sorted(maps.Keys(t.keys)) {
		by = append(by, fmt.Sprintf("%d by %s", t.keys[id], id))
	}
	return ok("the newest %d are opened by the keys of now: %s", looked, strings.Join(by, ", "))
}

func fixOfKeys(reason wechatpay.RejectReason) string {
	switch reason {
	case wechatpay.ReasonDecryptFailed:
		return "List the APIv3 key of then in api_v3_key_files, too, behind the current one (protocol v2: api_v2_key_files)."
	case wechatpay.ReasonBadSignature:
		return "The file of that key holds another key: download it from the merchant platform again (v2: look at api_v2_key_files)."
	default:
		return "Put the key back among wechatpay_public_keys, or set platform_certificates: true; WeChat Pay repeats under old keys for a day."
	}
}

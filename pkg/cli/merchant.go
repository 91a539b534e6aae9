package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	defaultCount = 1000 // notifications that a check looks at
	maxCount     = 10_000
)

const checkLong = `Hold a merchant's keys against the messages that came, and rehearse a change of keys.

The latest stored notifications are verified and decrypted once more, as of their receipt, with the keys of now. Flags
rehearse a change on the same messages: --without takes a key away, --only keeps one kind, --with adds a public key that
is not configured yet (its file stays here, the public key is sent). Nothing is changed.

Exit codes: 0 all would pass, 5 something would fail: each ✗ says what, and what to do, 7 WeChat Pay did not answer --live`

func (c *commandLine) merchant() *cobra.Command {
	return c.group("merchant", "List merchants with their keys; check them, and rehearse a change", c.merchantLs(), c.merchantCheck())
}

func (c *commandLine) merchantLs() *cobra.Command {
	return c.asks("ls", "List merchants with their keys", cobra.NoArgs, func(ctx context.Context, api remote, _ []string) (answer, error) {
		got, raw, err := document[operatorapi.MerchantList](api.ask(ctx)(operatorapi.NewListMerchantsRequest(api.base())))
		if err != nil {
			return answer{}, err
		}
		return answer{document: raw, text: c.merchantsText(got)}, nil
	})
}

func (c *commandLine) merchantsText(list operatorapi.MerchantList) string {
	if len(list.Merchants) == 0 {
		return "No merchant is configured.\n"
	}
	var rows [][]cell
	for i := range list.Merchants {
		m := &list.Merchants[i]
		last := "never"
		if m.LastNotificationAt != nil {
			last = span(c.now().Sub(*m.LastNotificationAt)) + " ago"
		}
		rows = append(rows, []cell{{m.Mchid}, one(m.Protocol), {string(value(m.Gear))}, {last}, merchantCell(m)})
	}
	return c.grid([]string{"MERCHANT", "PROTOCOL", "WATCHED", "LAST NOTIFIED", "KEYS"}, rows...)
}

func merchantCell(m *operatorapi.MerchantKeys) cell {
	said := cell{value(m.Name)}
	for _, a := range m.Apps {
		said = append(said, a.Appid+" ("+a.Kind+")")
	}
	for _, k := range m.Keys {
		said = append(said, keyWords(string(k.Kind))+" "+k.KeyID+expiring(k.ExpiresAt, k.DaysLeft))
	}
	if own := m.APICertificate; own != nil {
		said = append(said, "own certificate "+own.Serial+expiring(own.ExpiresAt, own.DaysLeft))
	}
	return append(said, m.Missing...)
}

func keyWords(kind string) string { return strings.ReplaceAll(kind, "_", " ") }

func expiring(at *time.Time, days *int) string {
	if at == nil {
		return ""
	}
	return fmt.Sprintf(" until %s (%d d)", at.UTC().Format(time.DateOnly), value(days))
}

// checkFlags say what is rehearsed.
type checkFlags struct {
	count   int
	without string
	only    *choice
	with    string
	id      string
	live    bool
}

func (c *commandLine) merchantCheck() *cobra.Command {
	var f checkFlags
	check := c.asks("check MCHID", "Check a merchant's keys against stored notifications, and rehearse a change", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		params, err := f.params()
		if err != nil {
			return answer{}, err
		}
		r, raw, err := document[operatorapi.MerchantCheck](api.ask(ctx)(operatorapi.NewCheckMerchantRequest(api.base(), args[0], params)))
		if err != nil {
			return answer{}, err
		}
		a := answer{document: raw, text: c.checkText(&r)}
		switch {
		case !r.Ok:
			a.exit = problem.ExitRefused
		case r.Live != nil && !r.Live.Accepted: // WeChat Pay did not answer
			a.exit = problem.ExitUnavailable
		}
		return a, nil
	})
	check.Long = checkLong
	flags := check.Flags()
	flags.IntVar(&f.count, "count", defaultCount, "look at so many of the latest notifications, 1 to "+strconv.Itoa(maxCount))
	flags.StringVar(&f.without, "without", "", "rehearse without this key of WeChat Pay")
	f.only = choose(check, "only", "rehearse with the keys of one kind", operatorapi.PublicKey, operatorapi.PlatformCertificate)
	flags.StringVar(&f.with, "with", "", "rehearse with the public key in this file (pub_key.pem), under --id")
	flags.StringVar(&f.id, "id", "", "with --with: what the merchant platform calls the key, PUB_KEY_ID_…")
	flags.BoolVar(&f.live, "live", false, "also make one call to WeChat Pay that changes nothing; takes a token of role operate")
	check.MarkFlagsRequiredTogether("with", "id")
	return check
}

func (f *checkFlags) params() (*operatorapi.CheckMerchantParams, error) {
	if f.count < 1 || f.count > maxCount {
		return nil, problem.Newf(problem.Usage, "--count %d: must be 1 to %d", f.count, maxCount)
	}
	p := &operatorapi.CheckMerchantParams{Count: &f.count, Without: given[string](f.without), Only: given[operatorapi.CheckMerchantParamsOnly](f.only.word)}
	if f.live {
		p.Live = &f.live
	}
	if f.with == "" {
		return p, nil
	}
	text, err := publicKeyIn(f.with)
	p.WithKeyID, p.WithPem = &f.id, &text
	return p, err
}

// publicKeyIn reads a public key and writes it anew: whatever else is in the
// file, such as a private key, stays here.
func publicKeyIn(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", problem.Wrap(problem.Usage, err, "--with")
	}
	key, err := merchant.ParsePublicKeyPEM(raw)
	if err != nil {
		e := problem.Wrap(problem.Usage, err, "--with "+file)
		e.NextStep = "Name pub_key.pem as the merchant platform gives it (account centre, API security)."
		return "", e
	}
	text, err := merchant.PublicKey{Key: key}.PEM()
	if err != nil {
		return "", problem.Wrap(problem.Internal, err, "write the public key")
	}
	return string(text), nil
}

// checkText is the keys and what follows: each thing with its mark.
func (c *commandLine) checkText(r *operatorapi.MerchantCheck) string {
	looked := counted(r.Looked, "notification")
	if r.OldestAt != nil && r.NewestAt != nil {
		looked += " received from " + instant(*r.OldestAt) + " to " + instant(*r.NewestAt)
	}
	said := c.facts(
		fact("merchant", r.Merchant.Mchid, value(r.Merchant.Name), string(r.Merchant.Protocol)),
		fact("looked at", looked),
	)
	var keys [][]cell
	for _, k := range r.Keys {
		last := cell{}
		if k.LastVerifiedAt != nil {
			last = cell{instant(*k.LastVerifiedAt)}
		}
		keys = append(keys, []cell{{k.KeyID}, {strconv.Itoa(k.Verified)}, last, {keyWords(string(k.Kind)), string(k.State), strings.TrimSpace(expiring(k.ExpiresAt, k.DaysLeft))}})
	}
	if len(keys) > 0 {
		said += "\n" + c.grid([]string{"KEY", "VERIFIED", "LAST", "WHAT IT IS"}, keys...)
	}
	var found [][]cell
	for _, f := range r.Findings {
		found = append(found, []cell{{c.mark(levelMark(f.Level))}, {f.Text}})
		if fix := value(f.Fix); fix != "" {
			found = append(found, []cell{{}, {c.arrow() + " " + fix}})
		}
	}
	return said + "\n" + c.grid(nil, found...)
}

func levelMark(level operatorapi.MerchantCheckFindingsLevel) mark {
	switch level {
	case operatorapi.Ok:
		return markOK
	case operatorapi.Fail:
		return markFail
	case operatorapi.Note:
	}
	return markSkipped
}

// keysText says what expires first, and what is missing.
func (c *commandLine) keysText(s *operatorapi.Status) string {
	if why := value(s.KeysUnknown); why != "" {
		return "\nKeys: not known: " + plain(why) + ".\n"
	}
	var rows [][]cell
	for _, m := range value(s.Keys) {
		said := cell{}
		if e := m.Expires; e != nil {
			said = append(said, fmt.Sprintf("%s %s expires in %d d", keyWords(string(e.What)), e.ID, e.DaysLeft), instant(e.ExpiresAt))
		}
		said = append(said, m.Missing...)
		if len(said) == 0 {
			said = cell{"nothing expires that is known"}
		}
		rows = append(rows, []cell{{m.Mchid}, said})
	}
	if len(rows) == 0 {
		return ""
	}
	return "\n" + c.grid([]string{"MERCHANT", "KEYS"}, rows...)
}

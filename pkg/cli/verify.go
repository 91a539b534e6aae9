package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

const verifyLong = `Verify a message of WeChat Pay that is in a file, from configuration and files alone.

FILE holds a raw HTTP request (the request line may be missing), or the JSON of notification show, rejected show or
dead-letter show; - is stdin. The configuration is the worker's, whose key files are opened. Platform certificates are
not among them, because the worker fetches those: give one with --certificate.

Exit codes: 0 it would get in, 3 configuration not usable, 5 it would not: the output says why`

// verifyFlags say whose message it is, and as of when it is judged.
type verifyFlags struct {
	mchid        string
	at           string
	certificates []string
	decrypt      bool
}

// What an instant of receipt comes from.
const (
	fromFlag      = "--at"
	fromFile      = "the file"
	fromSignature = "the signature" // nothing else says: its own time is taken, and the clock is not judged
)

func (c *commandLine) notificationVerify() *cobra.Command {
	var f verifyFlags
	verify := c.leaf("verify FILE", "Verify a message in a file: which key, which clock, what was signed", cobra.ExactArgs(1), func(_ context.Context, args []string) (answer, error) {
		m, err := c.readMessage(args[0])
		if err != nil {
			return answer{}, err
		}
		v, err := c.verify(&m, &f)
		if err != nil {
			return answer{}, err
		}
		a := answer{document: v, text: c.verifiedText(v)}
		if !v.OK {
			a.exit = problem.ExitRefused
		}
		return a, nil
	})
	verify.Long = verifyLong
	flags := verify.Flags()
	flags.StringVar(&f.mchid, "mchid", "", "the merchant, where the file does not say")
	flags.StringVar(&f.at, "at", "", "when it was received, an instant of RFC 3339, where the file does not say")
	flags.StringArrayVar(&f.certificates, "certificate", nil, "a platform certificate (PEM) to verify with; may be repeated")
	flags.BoolVar(&f.decrypt, "decrypt", false, "print what was encrypted: the buyer's data")
	return verify
}

// verify judges a message as the worker would.
func (c *commandLine) verify(m *message, f *verifyFlags) (*verified, error) {
	from, err := f.receipt(m)
	if err != nil {
		return nil, err
	}
	cred, err := c.credentialsFor(m, f)
	if err != nil {
		return nil, err
	}
	i := inspect(m, cred, &from)
	v := &verified{
		MchID: string(m.env.MchID), Kind: string(m.env.Kind), Protocol: string(i.Protocol), KeyID: i.KeyID, NamesKey: i.Serial, SignedAt: i.SignedAt,
		ReceivedAt: m.env.ReceivedAt, ReceivedBy: from, Note: m.note, onlyTime: i.OnlyTime,
	}
	v.describe(i)
	if f.decrypt {
		v.Resource = string(i.Resource)
	}
	_, err = wechatpay.Open(m.env, cred)
	var refused *wechatpay.VerifyError
	if v.OK = err == nil; errors.As(err, &refused) {
		v.Reason, v.Detail = string(refused.Reason), refused.Detail
	}
	return v, nil
}

// inspect finds out about the clock where nobody says when the message came,
// and about a line feed that was added where it was copied.
func inspect(m *message, cred *merchant.Credentials, from *string) wechatpay.Inspection {
	look := func(body []byte) wechatpay.Inspection {
		env := m.env
		env.Body = body
		i := wechatpay.Inspect(env, cred)
		if *from == "" && !i.SignedAt.IsZero() {
			env.ReceivedAt = i.SignedAt
			i = wechatpay.Inspect(env, cred)
		}
		return i
	}
	i := look(m.env.Body)
	if trimmed := strings.TrimRight(string(m.env.Body), "\r\n"); i.KeyID == "" && !i.OnlyTime && len(trimmed) < len(m.env.Body) {
		if better := look([]byte(trimmed)); better.KeyID != "" || better.OnlyTime {
			i, m.env.Body, m.note = better, []byte(trimmed), "line feeds at the end were left away: an editor adds them, WeChat Pay does not"
		}
	}
	if *from == "" && !i.SignedAt.IsZero() {
		m.env.ReceivedAt, *from = i.SignedAt, fromSignature
	}
	return i
}

func (f *verifyFlags) receipt(m *message) (from string, err error) {
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return "", problem.Newf(problem.Usage, "--at %q: must be an instant such as 2026-03-01T08:00:00Z", f.at)
		}
		m.env.ReceivedAt = at.UTC()
		return fromFlag, nil
	}
	if !m.env.ReceivedAt.IsZero() {
		return fromFile, nil
	}
	return "", nil
}

// credentialsFor opens the key files of the message's merchant.
func (c *commandLine) credentialsFor(m *message, f *verifyFlags) (*merchant.Credentials, error) {
	cfg, err := c.load(config.RoleWorker)
	if err != nil {
		return nil, err
	}
	switch {
	case f.mchid != "":
		id, err := pay.ParseMchID(f.mchid)
		if err != nil {
			return nil, problem.Newf(problem.Usage, "--mchid: %v", err)
		}
		m.env.MchID = id
	case m.env.MchID == "" && len(cfg.Entries) == 1:
		m.env.MchID = pay.MchID(cfg.Entries[0].MchID)
	case m.env.MchID == "":
		return nil, problem.Newf(problem.Usage, "the file does not say whose message it is, and %d merchants are configured: say --mchid", len(cfg.Entries))
	}
	cred, err := cfg.Credentials(m.env.MchID)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names merchant and file
	}
	for _, name := range f.certificates {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, problem.Wrap(problem.Usage, err, "--certificate")
		}
		key, err := merchant.ParseCertificatePEM(text)
		if err != nil {
			return nil, problem.Wrap(problem.Usage, err, "--certificate "+name)
		}
		cred.Keyring.Put(key)
	}
	return cred, nil
}

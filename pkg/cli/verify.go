package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
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

// verified is the document of --json.
type verified struct {
	OK         bool         `json:"ok"`
	MchID      string       `json:"mchid"`
	Kind       string       `json:"kind"`
	Protocol   string       `json:"protocol,omitempty"`
	KeyID      string       `json:"key_id,omitempty"`    // that verified it
	NamesKey   string       `json:"names_key,omitempty"` // that the message names
	SignedAt   time.Time    `json:"signed_at,omitzero"`
	ReceivedAt time.Time    `json:"received_at,omitzero"`
	ReceivedBy string       `json:"received_at_from,omitempty"`
	Reason     string       `json:"reason,omitempty"`
	Detail     string       `json:"detail,omitempty"`
	Signed     *signedText  `json:"signed_message,omitempty"`
	Decrypts   *decryptedBy `json:"decrypted_with,omitempty"`
	Undecoded  string       `json:"not_decrypted,omitempty"`
	Resource   string       `json:"resource,omitempty"` // with --decrypt: the buyer's data
	Note       string       `json:"note,omitempty"`
	onlyTime   bool
}

type signedText struct {
	Begins string `json:"begins"` // its first two lines: time and nonce
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type decryptedBy struct {
	Setting string `json:"setting"`
	Place   int    `json:"place"`
}

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

// describe tells what was signed, and which key decrypts.
func (v *verified) describe(i wechatpay.Inspection) {
	if len(i.Message) > 0 {
		sum := sha256.Sum256(i.Message)
		begins := strings.SplitN(string(i.Message), "\n", 3)
		v.Signed = &signedText{Begins: strings.Join(begins[:2], "\n") + "\n", Bytes: len(i.Message), SHA256: hex.EncodeToString(sum[:])}
	}
	switch {
	case i.Place > 0 && i.Protocol == pay.ProtocolV2:
		v.Decrypts = &decryptedBy{"api_v2_key_files", i.Place}
	case i.Place > 0:
		v.Decrypts = &decryptedBy{"api_v3_key_files", i.Place}
	case i.Undeciphered != nil:
		v.Undecoded = i.Undeciphered.Detail
	}
}

func (c *commandLine) verifiedText(v *verified) string {
	verdict := "right"
	switch {
	case v.KeyID != "" && v.Kind == string(pay.DeliveryNotifyV2Refund):
		verdict = "none: nobody signs refund notices of v2; it decrypts, and is taken for a hint"
	case v.KeyID == "" && v.onlyTime:
		verdict = "right, but its time is not"
	case v.KeyID == "":
		verdict = "wrong"
	}
	signed, decrypts := cell{}, v.Undecoded
	if s := v.Signed; s != nil {
		signed = cell{strconv.Itoa(s.Bytes) + " bytes: time, nonce and body, a line feed after each", "SHA-256 " + s.SHA256, "it begins " + strconv.Quote(s.Begins)}
	}
	if d := v.Decrypts; d != nil {
		decrypts = fmt.Sprintf("with key %d of %s", d.Place, d.Setting)
	}
	conclusion := "it would get in"
	if !v.OK {
		conclusion = "it would not get in: " + v.Reason + ": " + v.Detail
	}
	said := c.facts(
		fact("message", v.Kind, "merchant "+v.MchID),
		fact("signature", verdict),
		fact("key", v.KeyID),
		fact("names key", named(v)),
		fact("signed", stamped(v.SignedAt)),
		fact("received", stamped(v.ReceivedAt), sayReceipt(v)),
		[]cell{{"what is signed"}, signed},
		fact("decrypts", decrypts),
		fact("note", v.Note),
		fact("verdict", conclusion),
	)
	if v.Resource != "" {
		said += "\n" + c.bytesText([]byte(v.Resource))
		if !strings.HasSuffix(said, "\n") {
			said += "\n"
		}
	}
	return said
}

// named is the key that a message names, where it is not the one that verified it.
func named(v *verified) string {
	if v.NamesKey == v.KeyID {
		return ""
	}
	return v.NamesKey
}

func stamped(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return instant(at) + " (" + strconv.FormatInt(at.Unix(), 10) + ")"
}

func sayReceipt(v *verified) string {
	switch {
	case v.ReceivedAt.IsZero():
		return ""
	case v.ReceivedBy == fromSignature:
		return "as of its signature: nothing else says when it came"
	}
	off := v.ReceivedAt.Sub(v.SignedAt).Round(time.Second)
	if v.SignedAt.IsZero() {
		return "from " + v.ReceivedBy
	}
	return fmt.Sprintf("from %s: %s after it was signed", v.ReceivedBy, off)
}

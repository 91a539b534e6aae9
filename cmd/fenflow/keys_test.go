package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/devstack"
	"github.com/fenflow/fenflow/pkg/simulator"
)

var (
	publicKeyShape = regexp.MustCompile(`(?m)^ *wechatpay_public_keys:\n *- id: .*\n *file: .*\n`)
	spanShape      = regexp.MustCompile(`\d+ (s|min \d+ s|h \d+ min) ago`)
	dayShape       = regexp.MustCompile(`\d{4}-\d\d-\d\d`)
	daysShape      = regexp.MustCompile(`(until NNNN-NN-NN \(|expires in |"days_left": )\d{4}`)
	paymentShape   = regexp.MustCompile(`42\d{26}`)
	hashShape      = regexp.MustCompile(`[0-9a-f]{64}`)
	base64Shape    = regexp.MustCompile(`"[0-9A-Za-z+/]{300,}={0,2}"`)
	nonceShape     = regexp.MustCompile(`"Wechatpay-Nonce": "\w+"`)
	stampShape     = regexp.MustCompile(`\b1[78]\d{8}\b`)
	headerLines    = regexp.MustCompile(`(?m)^(Wechatpay-(?:Nonce|Signature|Timestamp)) .*(?:\n {20,}.*)*$`)
	signedShape    = regexp.MustCompile(`(STAM\\n)\w{32}\\n`)
	sizeShape      = regexp.MustCompile(`(what is signed +|"bytes": |bytes {8})\d+`)
	agoShape       = regexp.MustCompile(`\d+s after`)
	noticeShape    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{20,}|EV-\d+`)
)

// TestKeySessions are an operator's who changes keys: a whole fenflow of its
// own, whose merchant has platform certificates only, while WeChat Pay signs
// with its public key already now and then. Beside the commands of
// TestStackSessions:
//
//	configure      adds the public key to fenflow.yaml, as a person does
//	remember NAME  keeps the first id that was printed
//	tidy           also hides keys and what was signed
func TestKeySessions(t *testing.T) {
	t.Parallel()
	dir := stackDir(t)
	m := longSerials(t)
	_, err := simulator.Init(filepath.Join(dir, "merchant"), simulator.InitOptions{Merchant: &m})
	require.NoError(t, err)
	file := filepath.Join(dir, "merchant", "fenflow.yaml")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Regexp(t, publicKeyShape, string(whole))
	require.NoError(t, os.WriteFile(file, publicKeyShape.ReplaceAll(whole, nil), 0o600))
	stack, err := devstack.Start(t.Context(), devstack.Options{Dir: dir, Console: true, FreePort: true, Speed: 60, RefundSpeed: 60, Log: t.Output()})
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	t.Cleanup(func() { saysNoSecret(t, dir, m) }) // before the stack stops, with all that the roles said

	p := stackParams(stack, "testdata/keys")
	setup := p.Setup
	p.Setup = func(e *testscript.Env) error {
		e.Setenv("PUBKEY", m.PublicKeyID)
		e.Setenv("SERIAL", m.PlatformSerial)
		return setup(e)
	}
	p.Cmds["configure"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		ts.Check(os.WriteFile(file, whole, 0o600))
		ts.Check(stack.Kill("ingest")) // it reads its files each minute; started again, at once
	}
	p.Cmds["remember"] = func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Setenv(args[0], uuidShape.FindString(ts.ReadFile("stdout")))
	}
	short := func(id string) string { return id[:11] + "…" + id[len(id)-8:] }
	names := strings.NewReplacer(short(m.PublicKeyID), "PUB_KEY_ID_…xxxxxxxx", short(m.PlatformSerial), "PLATFORMxxx…xxxxxxxx",
		m.PublicKeyID, hidden("PUB_KEY_ID_", m.PublicKeyID), m.PlatformSerial, hidden("PLATFORM", m.PlatformSerial), m.Serial, hidden("OWN", m.Serial))
	p.Cmds["tidy"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		_, _ = fmt.Fprint(ts.Stdout(), tidyKeys(names.Replace(ts.ReadFile("stdout"))))
	}
	testscript.Run(t, p)
}

// saysNoSecret looks through all that the roles wrote down.
func saysNoSecret(t *testing.T, dir string, m simulator.Merchant) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	for _, name := range logs {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, secret := range []string{m.APIv3Key, m.APIv2Key, m.APIKey, "PRIVATE KEY", "fft_"} {
			require.NotContains(t, string(text), secret, name)
		}
	}
}

// tidyKeys replaces what is another in each run beyond what tidy does.
func tidyKeys(s string) string {
	s = tidy(s)
	for _, one := range []struct {
		shape *regexp.Regexp
		to    string
	}{
		{spanShape, "MOMENTS ago"}, {agoShape, "MOMENTS after"}, {paymentShape, strings.Repeat("4", 28)}, {hashShape, strings.Repeat("h", 64)},
		{base64Shape, `"BASE64"`}, {headerLines, "$1 …"}, {nonceShape, `"Wechatpay-Nonce": "NONCE"`}, {noticeShape, "EV-NOTICE"},
		{stampShape, "1STAMPSTAM"}, {signedShape, `${1}NONCE\n`}, {sizeShape, "${1}SIZE"}, {dayShape, "NNNN-NN-NN"}, {daysShape, "${1}DAYS"},
	} {
		s = one.shape.ReplaceAllString(s, one.to)
	}
	return s
}

// hidden is as long as what it stands for, so that tables keep their columns.
func hidden(name, id string) string { return name + strings.Repeat("x", max(len(id)-len(name), 0)) }

// longSerials makes a merchant whose serials have their usual length: one in
// sixteen is shorter, and would move the columns of the tables.
func longSerials(t *testing.T) simulator.Merchant {
	t.Helper()
	for range 100 {
		m, err := simulator.NewTestMerchant()
		require.NoError(t, err)
		if len(m.Serial) == 40 && len(m.PlatformSerial) == 40 {
			return m
		}
	}
	t.Fatal("no serial is long enough")
	return simulator.Merchant{}
}

// stackDir is where a stack keeps its files. As root, PostgreSQL runs as another
// user, who must pass through.
func stackDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		require.NoError(t, os.Chmod(d, 0o711))
	}
	return dir
}

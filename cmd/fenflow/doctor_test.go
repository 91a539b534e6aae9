package main

import (
	"crypto/tls"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/devstack"
)

// TestDoctorSessions look at a whole fenflow of their own, well and with things
// broken. Beside the commands of TestStackSessions:
//
//	crash ROLE REGEXP FILE   kills a role, again if need be, until somebody says so in FILE
//	plainly     as tidy, for what differs between machines, too; no secret may be in it
func TestDoctorSessions(t *testing.T) {
	t.Parallel()
	stack := startStack(t)
	secure := secureFront(t, stack)
	m := stack.Merchant()
	secrets := []string{m.APIv3Key, m.APIv2Key, m.APIKey, stack.Token(), "BEGIN"}
	for _, variable := range stack.Environment("notify", "api", "front", "worker", "reconciler", "console") {
		if name, value, _ := strings.Cut(variable, "="); strings.HasSuffix(name, "_PASSWORD") {
			secrets = append(secrets, value)
		}
	}
	params := stackParams(stack, "testdata/doctor")
	params.Cmds["plainly"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		said := ts.ReadFile("stdout")
		for _, secret := range secrets {
			if strings.Contains(said, secret) {
				ts.Fatalf("a secret was told: %s", said)
			}
		}
		_, _ = fmt.Fprint(ts.Stdout(), plainly(said))
	}
	params.Cmds["crash"] = func(ts *testscript.TestScript, _ bool, args []string) { crash(ts, stack, args) }
	setup := params.Setup
	params.Setup = func(e *testscript.Env) error {
		for _, variable := range append(stack.Environment("notify", "api", "front", "worker", "reconciler", "console"),
			"FENFLOW_LISTEN_CONSOLE="+strings.TrimPrefix(stack.ConsoleURL(), "http://"), "FENFLOW_PUBLIC_URL=https://pay.example.com",
			"FENFLOW_WECHATPAY_BASE_URL="+secure, "FENFLOW_WECHATPAY_CA_FILE=secrets/ca.pem", "LANG=C.UTF-8") {
			name, value, _ := strings.Cut(variable, "=")
			e.Setenv(name, value)
		}
		if err := setup(e); err != nil {
			return err
		}
		// What the setup of all stacks says of these is right for their roles.
		e.Setenv("FENFLOW_WECHATPAY_BASE_URL", secure)
		e.Setenv("FENFLOW_PUBLIC_URL", "https://pay.example.com")
		return nil
	}
	testscript.Run(t, params)
}

// crash kills a role, which its supervisor starts again, until it was missed.
func crash(ts *testscript.TestScript, stack *devstack.Stack, args []string) {
	want := regexp.MustCompile(args[1])
	deadline := time.Now().Add(patience)
	for !want.MatchString(ts.ReadFile(args[2])) {
		if time.Now().After(deadline) {
			ts.Fatalf("nobody missed %s", args[0])
		}
		_ = stack.Kill(args[0]) // it may be dead already
		<-time.After(2 * lookEach)
	}
}

// secureFront is the stand-in WeChat Pay over TLS, under the certificate that its
// own authority made for this machine.
func secureFront(t *testing.T, stack *devstack.Stack) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(stack.ConfigFile("console")), "platform")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls_cert.pem"), filepath.Join(dir, "tls_key.pem"))
	require.NoError(t, err)
	plain, err := url.Parse(stack.SimulatorURL())
	require.NoError(t, err)
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(plain) }})
	front.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.URL
}

var (
	portShape    = regexp.MustCompile(`127\.0\.0\.1:\d{4,5}`)
	versionShape = regexp.MustCompile(`version \d[0-9.]*\d`)
	inUseShape   = regexp.MustCompile(`\d+ of \d+ are in use`)
	daysShape    = regexp.MustCompile(`\d+ days`)
	storedShape  = regexp.MustCompile(`\d+ (KiB|MiB) stored`)
	keyShape     = regexp.MustCompile(`PUB_KEY_ID_\d+`)
	countShape   = regexp.MustCompile(`\d+ migrations`)
	dateShape    = regexp.MustCompile(`20\d\d-\d\d-\d\d`)
	signsShape   = regexp.MustCompile(`signs with [0-9a-f]{16}`)
	takesShape   = regexp.MustCompile(`sessions of [0-9a-f]{16} are`)
	newestShape  = regexp.MustCompile(`newest \d+ are opened by the keys of now: \d+ by`)
)

// plainly is what is the same on every machine.
func plainly(s string) string {
	s = tidy(s)
	for shape, word := range map[*regexp.Regexp]string{
		portShape: "127.0.0.1:PORT", versionShape: "version V", inUseShape: "N of M are in use", daysShape: "N days", storedShape: "N stored",
		keyShape: "PUB_KEY_ID_K", countShape: "N migrations", dateShape: "DATE", newestShape: "newest N are opened by the keys of now: N by",
		signsShape: "signs with KEY", takesShape: "sessions of KEY are",
	} {
		s = shape.ReplaceAllString(s, word)
	}
	return s
}

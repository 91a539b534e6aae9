package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/devstack"
)

// recorded runs scripts and keeps what they say: each command with its output.
type recorded struct {
	*testing.T
	said *spoken
}

type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *spoken) add(args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.text.WriteString(setting.ReplaceAllString(fmt.Sprintln(args...), ""))
}

func (r recorded) Log(args ...any) {
	r.said.add(args...)
	r.T.Log(args...) // which go test shows where it fails, or with -v
}

func (r recorded) Fatal(args ...any) {
	r.said.add(args...)
	r.T.Fatal(args...)
}

func (r recorded) Run(name string, script func(testscript.T)) {
	r.T.Run(name, func(t *testing.T) { script(recorded{t, r.said}) })
}

// Verbose: or what succeeds is not told.
func (recorded) Verbose() bool { return true }

// setting is a variable that a script begins with; testscript tells of each.
var setting = regexp.MustCompile(`(?m)^[A-Z_]+=.*$`)

// secret is one that must be nowhere, in each form in which it could be printed.
type secret struct {
	name  string
	forms []string
}

// secretsOf are those of a stack. The tokens of operators are not among them:
// `token create` shows each once.
func secretsOf(stack *devstack.Stack) []secret {
	m := stack.Merchant()
	plain := map[string]string{"APIv3 key": m.APIv3Key, "APIv2 key": m.APIv2Key, "shop's API key": m.APIKey}
	for _, variable := range stack.Environment("notify", "api", "front", "worker", "reconciler", "console", "subscriber") {
		if name, value, _ := strings.Cut(variable, "="); strings.HasSuffix(name, "_PASSWORD") {
			plain[name] = value
		}
	}
	var all []secret
	for name, value := range plain {
		all = append(all, secret{name, []string{value, base64.StdEncoding.EncodeToString([]byte(value)), hex.EncodeToString([]byte(value))}})
	}
	for name, key := range map[string][]byte{
		"merchant's private key": m.PrivateKey.D.Bytes(), "WeChat Pay's private key": m.WechatpayKey.D.Bytes(), "platform's private key": m.PlatformKey.D.Bytes(),
	} {
		all = append(all, secret{name, []string{hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key)}})
	}
	return append(all, secret{"a private key", []string{"PRIVATE KEY-----"}}, secret{"an nkey seed", []string{"\nSU"}})
}

// requireNoSecret looks for every secret in what was printed, and in what every role
// logged. It fails, too, when there was nothing to look at.
func requireNoSecret(t *testing.T, stack *devstack.Stack, said *spoken) {
	t.Helper()
	texts := map[string]string{"the scripts": said.text.String()}
	logs, err := filepath.Glob(filepath.Join(stack.LogDir(), "*.log"))
	require.NoError(t, err)
	for _, file := range logs {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		texts[filepath.Base(file)] = string(raw)
	}
	for _, where := range []string{"the scripts", "worker.log", "ingest.log", "reconciler.log", "console.log"} {
		require.NotEmpty(t, strings.TrimSpace(texts[where]), where)
	}
	for where, text := range texts {
		for _, s := range secretsOf(stack) {
			for _, form := range s.forms {
				require.GreaterOrEqual(t, len(form), 3, s.name)
				require.False(t, strings.Contains(text, form), "%s is in %s", s.name, where) //nolint:testifylint // would print what it must not
			}
		}
		if where != "the scripts" {
			require.NotRegexp(t, tokenShape, text, "an operator's token is in %s", where)
		}
	}
}

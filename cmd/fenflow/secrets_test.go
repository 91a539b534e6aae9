package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
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

// secretText is one that is a text: as it is, in an address, and encoded once more,
// as a column of bytes is shown. What is base64 itself may have been decoded.
func secretText(name, value string) secret {
	forms := append(encodings([]byte(value)), value, url.QueryEscape(value), url.PathEscape(value))
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
		if raw, err := encoding.DecodeString(value); err == nil && len(raw) >= 16 {
			forms = append(forms, hex.EncodeToString(raw))
		}
	}
	return secret{name, forms}
}

func encodings(raw []byte) []string {
	return []string{base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), hex.EncodeToString(raw)}
}

// secretsOf are those of a stack. The tokens of operators are not among them:
// `token create` shows each once.
func secretsOf(stack *devstack.Stack) []secret {
	m := stack.Merchant()
	all := []secret{
		secretText("APIv3 key", m.APIv3Key), secretText("APIv2 key", m.APIv2Key), secretText("shop's API key", m.APIKey),
		{"merchant's private key", encodings(m.PrivateKey.D.Bytes())}, {"WeChat Pay's private key", encodings(m.WechatpayKey.D.Bytes())},
		{"platform's private key", encodings(m.PlatformKey.D.Bytes())}, {"key of sessions", encodings(m.SessionKey.Seed())},
		{"a private key", []string{"PRIVATE KEY-----"}}, {"an nkey seed", []string{"\nSU"}},
	}
	for _, variable := range stack.Environment("notify", "api", "front", "worker", "reconciler", "console", "subscriber") {
		if name, value, _ := strings.Cut(variable, "="); strings.HasSuffix(name, "_PASSWORD") {
			all = append(all, secretText(name, value))
		}
	}
	for _, app := range m.Apps {
		for name, value := range map[string]string{"AppSecret": app.Secret, "message token": app.Token, "AES key": app.AESKey, "former AES key": app.AESKeyPrevious} {
			if value != "" { // websites and apps are sent no messages
				all = append(all, secretText(name+" of "+app.Appid, value))
			}
		}
	}
	return all
}

// found names the secrets that are in a text.
func found(text string, secrets []secret) (names []string) {
	for _, s := range secrets {
		for _, form := range s.forms {
			if len(form) < 3 || strings.Contains(text, form) { // what is that short is no secret, but a mistake here
				names = append(names, s.name)
				break
			}
		}
	}
	return names
}

// requireNoSecret looks for every secret wherever a stack leaves something behind.
// It fails, too, when there was nothing to look at.
func requireNoSecret(t *testing.T, stack *devstack.Stack, said *spoken, heard []secret) {
	t.Helper()
	all := places(t, stack)
	all[theScripts] = said.text.String()
	requireSomethingIn(t, all)
	requireNowhere(t, all, append(secretsOf(stack), heard...))
}

func requireNowhere(t *testing.T, all map[string]string, secrets []secret) {
	t.Helper()
	for where, text := range all {
		names := found(text, secrets)
		if where == "table accounts" { // which is there to keep it
			names = slices.DeleteFunc(names, func(name string) bool { return name == "phone number" })
		}
		require.Empty(t, names, "in %s", where)
		if where != theScripts {
			require.False(t, tokenShape.MatchString(text), "an operator's token is in %s", where)
		}
	}
}

// theScripts are a place: what commands said.
const theScripts = "the scripts"

// requireSomethingIn: where the walk left nothing to find, nothing was searched.
func requireSomethingIn(t *testing.T, all map[string]string) {
	t.Helper()
	for where, what := range map[string]string{
		theScripts: "今日茶", "worker.log": "wechat called", "ingest.log": "msg", "reconciler.log": "msg", "console.log": "msg", "simulator.log": "errcode=",
		"metrics of worker": `fenflow_wechat_calls_total{api="code_to_session",class="ok"`, "metrics of ingest": "fenflow_front_requests_total", "metrics of reconciler": "fenflow_", "metrics of console": "fenflow_",
		"stream MESSAGE": "Nats-Msg-Id", "stream EVENT": "Nats-Msg-Id", "table audit": "menu", "table accounts": "13800000001", "table identities": "\\x",
		"table wechat_tokens": "\\x", "table orders": "FRONT-DOOR-1", "table messages_seen": "wx",
	} {
		if !strings.Contains(all[where], what) {
			t.Errorf("there is no %q in %s", what, where) // and not all of it
		}
	}
}

func TestSecrets_are_found_in_every_form(t *testing.T) {
	t.Parallel()
	key := "HyVFkGl5F5OQWJZZaNzBBg=="
	s := []secret{secretText("session_key", key)}
	for _, text := range []string{
		key, "?session_key=" + url.QueryEscape(key), base64.StdEncoding.EncodeToString([]byte(key)), hex.EncodeToString([]byte(key)), "\\x1f254590697917939058965968dcc106",
	} {
		require.Equal(t, []string{"session_key"}, found("("+text+",1)", s), text)
	}
	require.Empty(t, found("HyVFkGl5F5OQWJZZaNzBBh==", s))
}

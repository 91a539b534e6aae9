package doctor_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
)

const (
	mini     = "wx8888888888888888"
	official = "wx8888888888888801"
	website  = "wx8888888888888802"
	native   = "wx8888888888888803"
)

// keyPair writes a pair of session keys that nobody else has.
func (s *site) keyPair(private, public string) {
	s.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(s.t, err)
	one, other, err := merchant.SessionKeyPEM(key)
	require.NoError(s.t, err)
	s.write(private, string(one))
	s.write(public, string(other))
}

func TestFront_keys_of_sessions_must_be_a_pair(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*site)
		verdict doctor.Verdict
		says    string
	}{
		"a pair": {func(*site) {}, doctor.OK, "and its sessions are taken"},
		"while it changes": {func(s *site) {
			s.keyPair("unused", "secrets/next.pub")
			s.publicKeys("secrets/session.pub, secrets/next.pub")
		}, doctor.OK, "sessions of "},
		"halves of two":      {func(s *site) { s.keyPair("unused", "secrets/session.pub") }, doctor.Fail, "every buyer who logs in is turned away"},
		"no public half":     {func(s *site) { s.publicKeys("") }, doctor.Warn, "the front door is shut"},
		"no private half":    {func(s *site) { s.edit("session_key_file: secrets/session.key", "session_key_file: ''") }, doctor.Fail, "nobody signs any"},
		"a private one gone": {func(s *site) { require.NoError(s.t, os.Remove(s.file("secrets/session.key"))) }, doctor.Fail, "secrets/session.key"},
		"a broken public":    {func(s *site) { s.write("secrets/session.pub", "x") }, doctor.Fail, "secrets/session.pub"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c.change(s)
			s.configured().is(c.verdict, "front.session_keys", "", c.says)
		})
	}
}

// publicKeys sets the list of the edge.
func (s *site) publicKeys(files string) {
	s.t.Helper()
	s.edit("session_public_key_files:\n        - secrets/session.pub", "session_public_key_files: ["+files+"]")
}

func TestFront_a_private_key_that_others_can_read_is_told_of(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.NoError(t, os.Chmod(s.file("secrets/session.key"), 0o644))
	require.NoError(t, os.Chmod(s.file("secrets/"+official+".secret"), 0o640))
	f := s.configured()
	f.some(doctor.Warn, "configuration.secret_files", "secrets/session.key", "front.session_key_file")
	f.some(doctor.Warn, "configuration.secret_files", official+".secret", "secret_file")
}

func TestFront_the_edge_alone_looks_at_public_things(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.role = config.RoleIngest
	for _, private := range []string{"session.key", official + ".secret"} {
		require.NoError(t, os.Remove(s.file("secrets/"+private)))
	}
	f := s.configured()
	f.is(doctor.OK, "front.session_keys", "", "the private key is with the worker")
	f.is(doctor.OK, "front.app", official, "OAuth domain (网页授权域名) 127.0.0.1", "JS-safe domains (JS接口安全域名) shop.example.com")
	require.False(t, f.has("wechat.reachable"))
	s.role = config.RoleWorker
	require.False(t, s.configured().has("front.reachable"), "what answers buyers runs elsewhere")
}

func TestFront_is_not_looked_at_where_nobody_wants_one(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	text, err := os.ReadFile(s.file("fenflow.yaml"))
	require.NoError(t, err)
	apps, rest, _ := strings.Cut(string(text), "      apps:\n")
	_, rest, _ = strings.Cut(rest, "      protocol:")
	s.write("fenflow.yaml", apps+"      apps: [{appid: "+mini+"}]\n      protocol:"+rest)
	s.edit("front:\n    url", "nothing:\n    url")
	text, err = os.ReadFile(s.file("fenflow.yaml"))
	require.NoError(t, err)
	before, after, _ := strings.Cut(string(text), "nothing:\n")
	_, after, _ = strings.Cut(after, "listen:\n")
	s.write("fenflow.yaml", before+"listen:\n"+after)
	f := s.configured()
	f.is(doctor.OK, "configuration.role", "ingest")
	for _, check := range []string{"front.session_keys", "front.url", "front.app", "front.reachable", "wechat.reachable"} {
		require.False(t, f.has(check), check)
	}
}

func TestFront_addresses_are_judged_by_who_can_use_them(t *testing.T) {
	t.Parallel()
	const genuine = "https://api.weixin.qq.com"
	for name, c := range map[string]struct {
		url, api string
		verdict  doctor.Verdict
		says     string
	}{
		"https":               {"https://pay.example.com", genuine, doctor.OK, "buyers are sent to https://pay.example.com"},
		"plain http":          {"http://pay.example.com", genuine, doctor.Fail, "sessions can be read"},
		"this machine":        {"https://127.0.0.1:8082", genuine, doctor.Fail, "nobody outside reaches that"},
		"a stand-in's":        {"http://127.0.0.1:8082", "http://127.0.0.1:8090", doctor.OK, "http://127.0.0.1:8082"},
		"http, of a stand-in": {"http://demo.example.com", "http://127.0.0.1:8090", doctor.Warn, "right on one machine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.env["FENFLOW_FRONT_URL"], s.env["FENFLOW_WECHAT_BASE_URL"] = c.url, c.api
			s.configured().is(c.verdict, "front.url", "", c.says)
		})
	}
}

func TestFront_apps_are_held_against_what_they_are_for(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.env["FENFLOW_WECHAT_BASE_URL"] = "https://api.weixin.qq.com"
	s.edit("- https://shop.example.com/buy/", "- http://shop.example.com/buy/") // of the official account
	s.edit("- shop.example.com", "- shop.internal")
	s.edit("secret_file: secrets/"+native+".secret", "secret_file: \"\"\n          js_domains: [shop.example.com]\n          redirect_urls: [https://shop.example.com/]")
	s.edit("redirect_urls:\n            - https://shop.example.com/buy/", "redirect_urls: []") // of the website
	f := s.configured()
	f.some(doctor.Fail, "front.app", "http://shop.example.com/buy/: plain http", "over https")
	f.some(doctor.Warn, "front.app", "shop.internal", "no JS-safe domain", "ICP")
	f.is(doctor.Warn, "front.app", website, "may lead back to no page", "redirect_urls")
	f.some(doctor.Warn, "front.app", "has no secret_file", "open.weixin.qq.com")
	f.some(doctor.Warn, "front.app", "wx.config is for pages of official accounts")
	f.is(doctor.OK, "front.app", mini, "mini_program, with its secret", "request合法域名", "mp.weixin.qq.com")
}

// answering has front.url answer.
func (s *site) answering(answer http.HandlerFunc) {
	s.t.Helper()
	server := httptest.NewServer(answer)
	s.t.Cleanup(server.Close)
	s.env["FENFLOW_FRONT_URL"] = server.URL
}

func problemAnswer(w http.ResponseWriter) {
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(`{"code":"FEN-3004"}`))
}

func TestFront_answers_as_WeChats_console_wants_it(t *testing.T) {
	t.Parallel()
	const file = "MP_verify_AbCdEf123456.txt"
	for name, c := range map[string]struct {
		reached, verified doctor.Verdict
		says              string
		answer            func(w http.ResponseWriter, path string)
	}{
		"right": {doctor.OK, doctor.OK, "is served at the root of", func(w http.ResponseWriter, path string) {
			if path == "/"+file {
				_, _ = w.Write([]byte("AbCdEf123456"))
				return
			}
			problemAnswer(w)
		}},
		"not listed there": {doctor.OK, doctor.Fail, "does not serve it", func(w http.ResponseWriter, _ string) { problemAnswer(w) }},
		"redirected": {doctor.OK, doctor.Fail, "is redirected (301)", func(w http.ResponseWriter, path string) {
			if path == "/"+file {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(http.StatusMovedPermanently)
				return
			}
			problemAnswer(w)
		}},
		"another text": {doctor.OK, doctor.Fail, "another text than its name says", func(w http.ResponseWriter, path string) {
			if path == "/"+file {
				_, _ = w.Write([]byte("<html>"))
				return
			}
			problemAnswer(w)
		}},
		"another program": {doctor.Fail, doctor.Skipped, "front.reachable", func(w http.ResponseWriter, _ string) { _, _ = w.Write([]byte("<html>It works!</html>")) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.env["FENFLOW_FRONT_VERIFY_FILES"] = file
			s.answering(func(w http.ResponseWriter, r *http.Request) { c.answer(w, r.URL.Path) })
			f := s.examine()
			f.is(c.reached, "front.reachable", "")
			f.is(c.verified, "front.verify_file", file, c.says)
		})
	}
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		f := s.examine()
		f.is(doctor.Warn, "front.reachable", "", "no answer from here", "behind NAT")
		f.is(doctor.Skipped, "front.verify_file", "", "does not answer")
		s.offline = true
		s.examine().is(doctor.Skipped, "front.reachable", "", "--offline")
	})
	t.Run("under a certificate that phones do not trust", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		s.env["FENFLOW_FRONT_URL"] = newAuthority(t, "nobody's").serve(year, "127.0.0.1", http.NotFoundHandler())
		s.examine().is(doctor.Fail, "front.reachable", "", "certificate", "that phones trust")
	})
}

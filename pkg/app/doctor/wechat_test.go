package doctor_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/doctor"
	"github.com/fenflow/fenflow/pkg/simulator"
)

// withWeChat has the stand-in run for the site.
func (s *site) withWeChat() *simulator.Simulator {
	s.t.Helper()
	platform, err := simulator.New(simulator.Options{Merchant: s.merchant, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(s.t, err)
	server := httptest.NewServer(platform.Handler())
	s.t.Cleanup(func() {
		server.Close()
		require.NoError(s.t, platform.Close())
	})
	s.env["FENFLOW_WECHAT_BASE_URL"] = server.URL
	return platform
}

// fault switches one on at the stand-in.
func (s *site) fault(document string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.env["FENFLOW_WECHAT_BASE_URL"]+"/control/weixin/faults", strings.NewReader(document))
	require.NoError(s.t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusCreated, answer.StatusCode, string(text))
}

func TestWeChat_gives_each_app_a_token_once_and_it_is_not_told(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	platform := s.withWeChat()
	f := s.examine()
	f.is(doctor.OK, "wechat.reachable", "", "127.0.0.1")
	f.is(doctor.OK, "wechat.tls", "", "a stand-in")
	f.is(doctor.OK, "wechat.app", official, "official_account: WeChat takes its secret")
	f.is(doctor.OK, "wechat.app", mini, "mini_program")
	f.is(doctor.Skipped, "wechat.app", website, "when somebody logs in")
	f.is(doctor.Skipped, "wechat.app", native, "when somebody logs in")
	require.Equal(t, map[string]map[string]int{"/cgi-bin/stable_token": {official: 1, mini: 1}}, platform.Weixin().Calls())

	s.offline = true
	f = s.examine()
	f.is(doctor.Skipped, "wechat.reachable", "", "--offline")
	f.is(doctor.Skipped, "wechat.app", official, "wechat.reachable")
}

func TestWeChat_refusals_name_what_to_change_and_where(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*site)
		verdict doctor.Verdict
		words   []string
	}{
		"address":         {func(s *site) { s.fault(`{"appid":"` + official + `","errcode":40164}`) }, doctor.Fail, []string{"40164", "from 203.0.113.7", "Add 203.0.113.7 to", "IP白名单", "mp.weixin.qq.com"}},
		"secret":          {func(s *site) { s.write("secrets/"+official+".secret", strings.Repeat("0", 32)) }, doctor.Fail, []string{"40125", "not the one that WeChat has", "AppSecret"}},
		"credential":      {func(s *site) { s.fault(`{"appid":"` + official + `","errcode":40001}`) }, doctor.Fail, []string{"40001", "not the one that WeChat has"}},
		"appid":           {func(s *site) { s.fault(`{"appid":"` + official + `","errcode":40013}`) }, doctor.Fail, []string{"40013", "knows no such appid", "Compare appid and kind"}},
		"busy":            {func(s *site) { s.fault(`{"appid":"` + official + `","errcode":-1}`) }, doctor.Warn, []string{"few minutes"}},
		"limit":           {func(s *site) { s.fault(`{"appid":"` + official + `","errcode":45009}`) }, doctor.Warn, []string{"45009"}},
		"gateway":         {func(s *site) { s.fault(`{"appid":"` + official + `","status":502}`) }, doctor.Warn, []string{"502"}},
		"something else":  {func(s *site) { s.fault(`{"appid":"` + official + `","errcode":48001}`) }, doctor.Fail, []string{"48001", "全局返回码"}},
		"unreadable file": {func(s *site) { s.write("secrets/"+official+".secret", "") }, doctor.Skipped, []string{"cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.withWeChat()
			c.change(s)
			s.examine().is(c.verdict, "wechat.app", official, c.words...)
		})
	}
}

func TestWeChat_host_is_judged_by_this_machines_roots(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.env["FENFLOW_WECHAT_BASE_URL"] = newAuthority(t, "a proxy that re-signs").serve(year, "127.0.0.1", http.NotFoundHandler())
	f := s.examine()
	f.is(doctor.Fail, "wechat.tls", "", "an authority that this machine's roots do not have", "install its authority among them")
	f.is(doctor.Skipped, "wechat.app", official, "wechat.tls")
}

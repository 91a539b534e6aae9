package menu_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/menu"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechat"
)

const (
	account     = pay.AppID("wx8888888888888888")
	miniProgram = pay.AppID("wx9999999999999999")
	noSecret    = pay.AppID("wx7777777777777777")
	shop        = pay.MchID("1900000109")
	secret      = merchant.Secret("0123456789abcdef0123456789abcdef")
	accessToken = merchant.Secret("an-access-token-of-WeChat")
)

// theMenu has a field that fenflow does not know, and Chinese.
const theMenu = `{"button":[{"type":"click","name":"今日茶","key":"tea","colour":"green"},{"name":"More","sub_button":[{"type":"view","name":"Shop","url":"https://shop.example.com/?a=1&b=2"}]}]}`

// platform is WeChat's side: it keeps one menu and answers as documented.
type platform struct {
	mu     sync.Mutex
	menu   string
	refuse string // its next answer
	calls  []string
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, r.Method+" "+r.URL.Path)
	body, _ := io.ReadAll(r.Body) // a broken request shows in the answer
	switch {
	case p.refuse != "":
		_, _ = io.WriteString(w, p.refuse)
		return
	case r.URL.Query().Get("access_token") != accessToken.Reveal():
		_, _ = io.WriteString(w, `{"errcode":40001,"errmsg":"invalid credential"}`)
		return
	case strings.HasSuffix(r.URL.Path, "/create"):
		p.menu = string(body)
	case strings.HasSuffix(r.URL.Path, "/delete"):
		p.menu = ""
	case p.menu == "":
		_, _ = io.WriteString(w, `{"errcode":46003,"errmsg":"menu no exist"}`)
		return
	default:
		_, _ = io.WriteString(w, `{"menu":`+p.menu+`}`)
		return
	}
	_, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok"}`)
}

// stage is a service on real books, with a platform of its own. It is its apps.
type stage struct {
	t        *testing.T
	platform *platform
	books    *store.Store
	service  *menu.Service
	log      bytes.Buffer
}

func (s *stage) AppSecrets(id pay.AppID) (pay.MchID, merchant.App, merchant.AppSecrets, bool) {
	app := merchant.App{AppID: id, Kind: merchant.KindOfficialAccount}
	switch id {
	case account:
		return shop, app, merchant.AppSecrets{Secret: secret}, true
	case noSecret:
		return shop, app, merchant.AppSecrets{}, true
	case miniProgram:
		app.Kind = merchant.KindMiniProgram
		return shop, app, merchant.AppSecrets{Secret: secret}, true
	}
	return "", merchant.App{}, merchant.AppSecrets{}, false
}

// Do lends the one token that the platform knows.
func (s *stage) Do(_ context.Context, app wechat.App, call func(merchant.Secret) error) error {
	require.Equal(s.t, wechat.App{ID: account, Secret: secret}, app)
	return call(accessToken)
}

func setup(t *testing.T, change ...func(*menu.Options)) *stage {
	t.Helper()
	s := &stage{t: t, platform: &platform{}}
	server := httptest.NewServer(s.platform)
	t.Cleanup(server.Close)
	client, err := wechat.New(wechat.Options{BaseURL: server.URL, HTTPClient: server.Client(), Now: time.Now})
	require.NoError(t, err)
	url := testkit.Database(t, "menu", func(ctx context.Context, url string) error { _, err := store.Migrate(ctx, url); return err })
	s.books, err = store.Open(t.Context(), store.Config{URL: url, MaxConns: 2, Name: "menu test"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.books.Close()) })
	o := menu.Options{Apps: s, WeChat: client, Tokens: s, Audit: s.books, Retryable: store.Retryable, Log: slog.New(slog.NewTextHandler(&s.log, nil))}
	for _, c := range change {
		c(&o)
	}
	s.service = menu.New(o)
	return s
}

// ask gives the menu that is answered, or the refusal.
func (s *stage) ask(question string) (string, *problem.Error) {
	s.t.Helper()
	raw, err := s.service.Answer(s.t.Context(), []byte(question))
	require.NoError(s.t, err)
	body, err := problem.ReadAnswer(raw)
	var refused *problem.Error
	if errors.As(err, &refused) {
		return "", refused
	}
	require.NoError(s.t, err)
	var a struct{ Menu json.RawMessage }
	require.NoError(s.t, json.Unmarshal(body, &a))
	return string(a.Menu), nil
}

func act(act, app, menu string) string {
	return `{"appid":"` + app + `","act":"` + act + `","menu":` + menu + `,"actor":"token:ada","why":"spring menu"}`
}

func (s *stage) audits() []pay.AuditEntry {
	s.t.Helper()
	entries, err := s.books.Audit(s.t.Context(), pay.AuditFilter{Limit: 10})
	require.NoError(s.t, err)
	return entries
}

func TestAnswer_sets_shows_and_removes_a_menu_and_writes_down_who_did(t *testing.T) {
	t.Parallel()
	s := setup(t)
	get := `{"appid":"` + string(account) + `","act":"get"}`
	got, refused := s.ask(get)
	require.Nil(t, refused)
	require.Empty(t, got, "there is none")
	require.Empty(t, s.audits())
	_, refused = s.ask(act("set", string(account), strings.ReplaceAll(theMenu, "&", `\u0026`)))
	require.Nil(t, refused)
	require.Contains(t, s.platform.menu, "?a=1&b=2", "as it is to be")
	require.JSONEq(t, theMenu, s.platform.menu)
	require.Contains(t, s.platform.menu, `"colour":"green"`, "with what fenflow does not know")
	require.Contains(t, s.platform.menu, "今日茶", "and not escaped, which WeChat would show")
	got, _ = s.ask(get)
	require.JSONEq(t, theMenu, got)
	_, refused = s.ask(`{"appid":"` + string(account) + `","act":"rm","actor":"token:ada","why":"closed"}`)
	require.Nil(t, refused)
	require.Empty(t, s.platform.menu)
	entries := s.audits()
	require.Len(t, entries, 2)
	require.Equal(t, []any{"menu.rm", "menu.set", "token:ada", string(account), shop, "spring menu"},
		[]any{entries[0].Action, entries[1].Action, entries[1].Actor, entries[1].Subject, entries[1].MchID, entries[1].Detail["reason"]})
	require.JSONEq(t, theMenu, entries[1].Detail["menu"].(string))
}

func TestAnswer_refuses_a_menu_beyond_the_limits_before_WeChat_is_asked(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for menu, field := range map[string]string{
		`{"button":[]}`: "button",
		`{"button":[{"name":"a name of seventeen","type":"click","key":"k"}]}`: "button[0].name",
		`{"button":[{"name":"A","sub_button":[{"name":"B","type":"view"}]}]}`:  "button[0].sub_button[0].url",
		`[]`: "menu",
	} {
		for _, do := range []string{"set", "check"} {
			_, refused := s.ask(act(do, string(account), menu))
			require.NotNil(t, refused, menu)
			require.Equal(t, problem.Invalid, refused.Kind, menu)
			require.Equal(t, field, refused.Fields[0].Field, menu)
		}
	}
	got, refused := s.ask(act("check", string(account), theMenu))
	require.Nil(t, refused)
	require.JSONEq(t, theMenu, got)
	require.Empty(t, s.platform.calls)
	require.Empty(t, s.audits())
}

func TestAnswer_refuses_apps_that_can_have_none_and_questions_of_another_version(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for question, kind := range map[string]problem.Kind{
		act("set", string(miniProgram), theMenu):                                             problem.NoMenu,
		act("get", string(noSecret), "null"):                                                 problem.NoMenu,
		act("get", "wx1", "null"):                                                            problem.NoMenu,
		act("paint", string(account), "null"):                                                problem.Malformed,
		act("rm", string(account), theMenu):                                                  problem.Malformed,
		`{"appid":"` + string(account) + `","act":"rm","why":"nobody"}`:                      problem.Malformed,
		`{"appid":"` + string(account) + `","act":"set","actor":"a","menu":` + theMenu + `}`: problem.Malformed,
		`{`: problem.Malformed,
	} {
		_, refused := s.ask(question)
		require.NotNil(t, refused, question)
		require.Equal(t, kind, refused.Kind, question)
	}
	require.Empty(t, s.platform.calls)
}

func TestAnswer_passes_on_what_WeChat_says_and_no_secret(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for said, kind := range map[string]problem.Kind{
		`{"errcode":40018,"errmsg":"invalid button name size"}`:        problem.MenuRefused,
		`{"errcode":40164,"errmsg":"invalid ip, not in whitelist"}`:    problem.MenuRefused,
		`{"errcode":48001,"errmsg":"api unauthorized"}`:                problem.MenuRefused,
		`{"errcode":-1,"errmsg":"system error"}`:                       problem.WeChatUnavailable,
		`{"errcode":45009,"errmsg":"reach max api daily quota limit"}`: problem.WeChatUnavailable,
		`not JSON`: problem.WeChatUnavailable,
	} {
		s.platform.refuse = said
		_, refused := s.ask(act("set", string(account), theMenu))
		require.NotNil(t, refused, said)
		require.Equal(t, kind, refused.Kind, said)
		if kind == problem.MenuRefused {
			require.Contains(t, refused.Detail, "errcode")
		}
		require.NotContains(t, refused.Error()+s.log.String(), accessToken.Reveal())
		require.NotContains(t, refused.Error()+s.log.String(), secret.Reveal())
	}
}

type noAudit struct{ err error }

func (a noAudit) WriteAudit(context.Context, pay.AuditEntry) error { return a.err }

func TestAnswer_changes_nothing_that_cannot_be_written_down(t *testing.T) {
	t.Parallel()
	for retryable, kind := range map[bool]problem.Kind{true: problem.DatabaseUnavailable, false: problem.Internal} {
		s := setup(t, func(o *menu.Options) {
			o.Audit, o.Retryable = noAudit{errors.New("no disk")}, func(error) bool { return retryable }
		})
		_, refused := s.ask(act("set", string(account), theMenu))
		require.NotNil(t, refused)
		require.Equal(t, kind, refused.Kind)
		require.Empty(t, s.platform.calls)
	}
}

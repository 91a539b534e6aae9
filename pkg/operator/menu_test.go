package operator_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	problems "github.com/fenflow/fenflow/pkg/problem"
)

const (
	menuPath = "/operator/v1/apps/wx8888888888888888/menu"
	aMenu    = `{"button":[{"type":"view","name":"今日茶","url":"https://shop.example.com/"}]}`
)

func TestMenus_are_shown_changed_and_taken_away_by_a_worker(t *testing.T) {
	t.Parallel()
	s, w := withAnswers(t)
	w.answers[bus.RequestOperateMenu] = map[string]any{"menu": json.RawMessage(aMenu)}
	require.JSONEq(t, `{"appid":"wx8888888888888888","menu":`+aMenu+`}`, s.get(menuPath).body)
	w.wasAsked(t, bus.RequestOperateMenu, map[string]any{"appid": "wx8888888888888888", "act": "get"})

	var menu any
	require.NoError(t, json.Unmarshal([]byte(aMenu), &menu))
	for dry, act := range map[string]string{"": "set", `"dry_run":false,`: "set", `"dry_run":true,`: "check"} {
		require.Equal(t, http.StatusOK, s.do(http.MethodPut, menuPath, `{`+dry+`"menu":`+aMenu+`,"reason":"spring"}`, s.operate).status)
		w.wasAsked(t, bus.RequestOperateMenu, map[string]any{"appid": "wx8888888888888888", "act": act, "menu": menu, "actor": "token:night-shift", "why": "spring"})
	}
	w.answers[bus.RequestOperateMenu] = map[string]any{}
	require.JSONEq(t, `{"appid":"wx8888888888888888"}`, s.do(http.MethodDelete, menuPath, `{"reason":"closed"}`, s.operate).body)
	w.wasAsked(t, bus.RequestOperateMenu, map[string]any{"appid": "wx8888888888888888", "act": "rm", "actor": "token:night-shift", "why": "closed"})
}

func TestMenus_are_refused_before_a_worker_is_asked_where_they_are_none(t *testing.T) {
	t.Parallel()
	s, w := withAnswers(t)
	for body, code := range map[string]string{
		`{"menu":[],"reason":"x"}`:                 "FEN-3001",
		`{"menu":null,"reason":"x"}`:               "FEN-3001",
		`{"reason":"x"}`:                           "FEN-3001",
		`{"menu":{}}`:                              "FEN-3001",
		`{"menu":{},"reason":"x","dry_run":"yes"}`: "FEN-3001",
		`{"menu":{"a":"` + strings.Repeat("a", 64<<10) + `"},"reason":"x"}`: "FEN-3006",
	} {
		require.Equal(t, code, s.do(http.MethodPut, menuPath, body, s.operate).problem(t).Code, "%.80s", body)
	}
	require.Equal(t, "FEN-3001", s.get("/operator/v1/apps/wx.1/menu").problem(t).Code)
	require.Empty(t, w.asked)
	w.answers[bus.RequestOperateMenu] = problems.New(problems.MenuRefused, "wechat menu_create: errcode 40018")
	refused := s.do(http.MethodPut, menuPath, `{"menu":{},"reason":"x"}`, s.operate).problem(t)
	require.Equal(t, "FEN-4055", refused.Code)
}

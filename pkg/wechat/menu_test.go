package wechat

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
)

const testMenu = `{ "button":[{"name":"买","type":"view","url":"https://shop/?a=1&b=<2>"},{"name":"More","sub_button":[{"type":"click","name":"x","key":"K","new_field":{"y":[1]}},` +
	`{"type":"miniprogram","name":"m","url":"https://x","appid":"wx1","pagepath":"p"},{"type":"from_next_year","name":"n"}]}]}`

// requireSameBytes: the same JSON in other bytes is not the same menu.
func requireSameBytes(t *testing.T, want, got string) {
	t.Helper()
	require.Equal(t, want, got)
}

func TestMenuSet_sends_the_menu_byte_for_byte(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	p.answer("POST /cgi-bin/menu/create", `{"errcode":0,"errmsg":"ok"}`)
	require.NoError(t, c.MenuSet(t.Context(), testGlobalToken, json.RawMessage(testMenu)))
	requireSameBytes(t, testMenu, p.last(t).body)

	p.answer("POST /cgi-bin/menu/create", `{"errcode":40018,"errmsg":"invalid button name size"}`)
	require.Equal(t, ClassOther, ClassOf(c.MenuSet(t.Context(), testGlobalToken, json.RawMessage(testMenu))))
}

func TestMenuGet_tells_the_menu_or_that_there_is_none(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	p.answer("GET /cgi-bin/menu/get", `{"menu":`+testMenu+`}`)
	got, err := c.MenuGet(t.Context(), testGlobalToken)
	require.NoError(t, err)
	requireSameBytes(t, testMenu, string(got))
	require.NoError(t, CheckMenu(got), "what was got can be set again")

	p.answer("GET /cgi-bin/menu/get", `{"errcode":46003,"errmsg":"menu no exist"}`)
	got, err = c.MenuGet(t.Context(), testGlobalToken)
	require.NoError(t, err)
	require.Nil(t, got)

	p.answer("GET /cgi-bin/menu/delete", `{"errcode":0,"errmsg":"ok"}`)
	require.NoError(t, c.MenuRemove(t.Context(), testGlobalToken))
}

func TestCheckMenu_names_the_button_and_the_limit(t *testing.T) {
	t.Parallel()
	button := func(more string) string { return `{"button":[{"name":"a",` + more + `}]}` }
	for _, c := range []struct{ menu, field, says string }{
		{`[]`, "menu", "JSON object"},
		{`{"button":[{"name":7}]}`, "menu", "texts"},
		{`{}`, "button", "1 to 3"},
		{`{"button":[{},{},{},{}]}`, "button", "not 4"},
		{`{"button":[{"name":"六个汉字太长","type":"x"}]}`, "button[0].name", "16 bytes"},
		{button(`"type":""`), "button[0].type", "needs a type"},
		{button(`"type":"click"`), "button[0].key", "1 to 128 bytes"},
		{button(`"type":"view","url":"https://` + strings.Repeat("x", 1020) + `"`), "button[0].url", "1 to 1024 bytes"},
		{button(`"type":"miniprogram","url":"https://x","appid":"wx1"`), "button[0].pagepath", "miniprogram"},
		{button(`"type":"media_id"`), "button[0].media_id", "needs it"},
		{button(`"type":"article_id"`), "button[0].article_id", "needs it"},
		{button(`"sub_button":[` + strings.Repeat(`{"name":"x","type":"y"},`, 5) + `{"name":"x","type":"y"}]`), "button[0].sub_button", "1 to 5"},
		{button(`"sub_button":[{"name":"` + strings.Repeat("x", 61) + `","type":"y"}]`), "button[0].sub_button[0].name", "60 bytes"},
		{button(`"sub_button":[{"name":"x","type":"y","sub_button":[{"name":"z"}]}]`), "button[0].sub_button[0].sub_button", "two levels"},
		{strings.Repeat(" ", maxMenuBytes+1), "menu", "bytes"},
	} {
		err := CheckMenu(json.RawMessage(c.menu))
		var invalid *problem.Error
		require.ErrorAs(t, err, &invalid, c.menu)
		require.Equal(t, problem.Invalid, invalid.Kind)
		found := false
		for _, f := range invalid.Fields {
			found = found || f.Field == c.field && strings.Contains(f.Message, c.says)
		}
		require.True(t, found, "%s: %s in %v", c.field, c.says, invalid.Fields)
	}
}

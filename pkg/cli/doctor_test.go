package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/cli"
	"github.com/fenflow/fenflow/pkg/config"
)

// seen is a doctor that found this.
type seen []cli.Finding

func (s seen) Examine(context.Context, func(config.Role) (config.Config, error), config.Role, bool) []cli.Finding {
	return s
}

func examined(t *testing.T, found seen, terminal bool, env map[string]string, args ...string) (exit int, stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = cli.Run(t.Context(), cli.Deps{
		Stdout: &out, Stderr: &errs, Terminal: terminal, Doctor: found,
		Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}, append([]string{"doctor"}, args...))
	require.Empty(t, errs.String())
	return exit, out.String()
}

func someFindings() seen {
	return seen{
		{Group: "postgres", Check: "postgres.reachable", Verdict: "ok", Detail: "there"},
		{Group: "nats", Check: "nats.user", Subject: "worker", Verdict: "fail", Detail: strings.Repeat("no way in ", 10) + "\x1b[2J", Fix: "Knock."},
		{Group: "wechatpay", Check: "wechatpay.tls", Subject: "a-host-with-a-long-name.example.com", Verdict: "warn", Detail: "ends soon", Fix: "Renew it."},
		{Group: "later", Check: "later.check", Verdict: "skipped", Detail: "not asked for"},
	}
}

func TestDoctor_lays_findings_out_for_people(t *testing.T) {
	t.Parallel()
	exit, said := examined(t, someFindings(), false, nil)
	require.Equal(t, 3, exit)
	require.Equal(t, `PostgreSQL
  ✓ reachable    there
NATS
  ✗ user worker  no way in no way in no way in no way in no way in no way in no way in no way in no
                 way in no way in \x1b[2J
                 → Knock.
WeChat Pay
  ! tls a-host-with-a-long-name.example.com
                 ends soon
                 → Renew it.
later
  – check        not asked for

1 ok, 1 warning, 1 failure, 1 skipped
`, said)
	_, coloured := examined(t, someFindings(), true, nil)
	require.Contains(t, coloured, "\x1b[31m✗\x1b[0m")
	require.Equal(t, said, strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[1m", "", "\x1b[0m", "").Replace(coloured), "colours take no room")
	_, plain := examined(t, someFindings(), true, map[string]string{"NO_COLOR": "1"})
	require.Equal(t, said, plain)
	exit, _ = examined(t, someFindings()[:1], false, nil)
	require.Zero(t, exit)
	exit, _ = examined(t, someFindings()[2:], false, nil)
	require.Zero(t, exit, "a warning is no failure")
}

func TestDoctor_uses_no_sign_that_the_terminal_does_not_have(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env     map[string]string
		unicode bool
	}{
		"no locale":              {nil, true},
		"C":                      {map[string]string{"LANG": "C"}, false},
		"Latin 1":                {map[string]string{"LANG": "de_DE.ISO-8859-1"}, false},
		"UTF-8":                  {map[string]string{"LANG": "zh_CN.UTF-8"}, true},
		"utf8":                   {map[string]string{"LC_CTYPE": "en_US.utf8", "LANG": "C"}, true},
		"overruled":              {map[string]string{"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, false},
		"what is empty is unset": {map[string]string{"LC_ALL": "", "LANG": "en_US.UTF-8"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, said := examined(t, someFindings(), true, c.env)
			require.Equal(t, c.unicode, strings.ContainsAny(said, "✓✗–→"), said)
			require.Equal(t, !c.unicode, strings.Contains(said, "  FAIL user worker"), said)
		})
	}
}

func TestDoctor_gives_programs_a_document(t *testing.T) {
	t.Parallel()
	exit, said := examined(t, someFindings(), true, nil, "--json")
	require.Equal(t, 3, exit)
	var d struct {
		OK       bool
		Counts   map[string]int
		Findings []cli.Finding
	}
	require.NoError(t, json.Unmarshal([]byte(said), &d))
	require.False(t, d.OK)
	require.Equal(t, map[string]int{"ok": 1, "warn": 1, "fail": 1, "skipped": 1}, d.Counts)
	require.Equal(t, someFindings(), seen(d.Findings))
	_, said = examined(t, nil, true, nil, "--json")
	require.JSONEq(t, `{"ok":true,"counts":{"ok":0,"warn":0,"fail":0,"skipped":0},"findings":[]}`, said)
}

func TestJSON_shows_what_a_terminal_would_obey(t *testing.T) {
	t.Parallel()
	hidden := "a\u202eb\u0085c\u007fd\u200be\U000e0001f微信"
	_, said := examined(t, seen{{Group: "x", Check: "x.y", Verdict: "ok", Detail: hidden}}, true, nil, "--json")
	require.Contains(t, said, `"a\u202eb\u0085c\u007fd\u200be\udb40\udc01f微信"`)
	var d struct{ Findings []cli.Finding }
	require.NoError(t, json.Unmarshal([]byte(said), &d))
	require.Equal(t, hidden, d.Findings[0].Detail, "and means the same to programs")
}

func TestPipes_get_long_ids_whole_and_screens_get_what_fits(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("0195563c-7d00-", 9) // longer than any line
	found := seen{{Group: "x", Check: "x.y", Verdict: "ok", Detail: "this one: " + id + " and no other"}}
	_, piped := examined(t, found, false, nil)
	require.Contains(t, piped, id)
	require.Equal(t, 5, strings.Count(piped, "\n")-1, piped)
	_, shown := examined(t, found, true, map[string]string{"NO_COLOR": "1"})
	require.NotContains(t, shown, id)
	for line := range strings.Lines(shown) {
		require.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 100)
	}
}

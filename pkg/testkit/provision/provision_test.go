package provision

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// program writes an executable shell script and returns its path.
func program(t *testing.T, dir, name, script string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return path
}

func TestProvide_finds_what_is_here_and_says_so_in_a_line(t *testing.T) {
	t.Parallel()
	for name, provide := range map[string]func(context.Context, *bytes.Buffer) (string, error){
		"PostgreSQL": func(ctx context.Context, log *bytes.Buffer) (string, error) { return Postgres(ctx, log) },
		"Redis":      func(ctx context.Context, log *bytes.Buffer) (string, error) { return Redis(ctx, log) },
		"Chromium":   func(ctx context.Context, log *bytes.Buffer) (string, error) { return Chromium(ctx, log) },
		"C compiler": func(ctx context.Context, log *bytes.Buffer) (string, error) { return CCompiler(ctx, log) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			_, err := provide(t.Context(), &log) // the first may install it
			require.NoError(t, err)

			log.Reset()
			found, err := provide(t.Context(), &log)
			require.NoError(t, err)
			require.NotEmpty(t, found)
			require.Regexp(t, `^provision: found `+name+` \d[\d.]*: \S+\n$`, log.String())
		})
	}
}

func TestPostgres_that_the_user_chose_is_used_or_refused(t *testing.T) {
	found, err := Postgres(t.Context(), nil)
	require.NoError(t, err)

	t.Setenv("FENFLOW_PG_BIN", found)
	again, err := Postgres(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, found, again)

	empty := t.TempDir()
	t.Setenv("FENFLOW_PG_BIN", empty)
	_, err = Postgres(t.Context(), nil)
	require.EqualError(t, err, "find PostgreSQL: FENFLOW_PG_BIN is set to "+empty+": "+empty+" has no program postgres")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, says, pattern, want, refusal string
		oldest                             int
	}{
		{name: "PostgreSQL of Debian", says: "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", pattern: `\(PostgreSQL\) (\d+[.\w]*)`, oldest: 15, want: "15.18"},
		{name: "PostgreSQL before its release", says: "postgres (PostgreSQL) 18beta1", pattern: `\(PostgreSQL\) (\d+[.\w]*)`, oldest: 15, want: "18beta1"},
		{name: "PostgreSQL too old", says: "postgres (PostgreSQL) 14.2", pattern: `\(PostgreSQL\) (\d+[.\w]*)`, oldest: 15, refusal: "is version 14.2, too old: 15 is the oldest supported"},
		{name: "Redis", says: "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", pattern: `v=(\d+[.\d]*)`, oldest: 6, want: "7.0.15"},
		{name: "something else", says: "hello", pattern: `v=(\d+[.\d]*)`, oldest: 6, refusal: "does not say its version"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			script := program(t, t.TempDir(), "server", "echo '"+row.says+"'")
			got, err := version(t.Context(), script, row.pattern, row.oldest)
			if row.refusal != "" {
				require.ErrorContains(t, err, row.refusal)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

func TestCompiler_that_cannot_compile_is_none(t *testing.T) {
	t.Parallel()
	broken := program(t, t.TempDir(), "cc", "echo 'fatal error: stdlib.h: No such file or directory' >&2; exit 1")
	_, err := checkCompiler(t.Context(), broken)
	require.ErrorContains(t, err, "stdlib.h")
}

// missing is a part that no candidate provides until installed says so.
func missing(installed func() []string) part {
	return part{
		name:       "Thing",
		chose:      "FENFLOW_TEST_THING",
		candidates: func(context.Context) []string { return installed() },
		check:      func(context.Context, string) (string, error) { return "1.0", nil },
		apt:        []string{"thing", "thing-data"},
		advice:     "install it yourself",
	}
}

func TestProvide_without_an_installer_says_what_to_do(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := provide(t.Context(), nil, missing(func() []string { return nil }))
	require.EqualError(t, err, "install Thing: not found, and there is no apt-get and no Homebrew that could install it: install it yourself")
}

func TestProvide_installs_what_is_missing(t *testing.T) {
	tools, calls := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	program(t, tools, "apt-get", `echo "$DEBIAN_FRONTEND apt-get $*" >>`+calls)
	program(t, tools, "sudo", `shift; exec "$@"`)
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	p := missing(func() []string {
		said, _ := os.ReadFile(calls)
		if bytes.Contains(said, []byte("install")) {
			return []string{"/opt/thing"}
		}
		return nil
	})
	var steps []string
	p.before = func(context.Context, root) error { steps = append(steps, "before"); return nil }
	p.after = func(context.Context, root) error { steps = append(steps, "after"); return nil }

	var log bytes.Buffer
	found, err := provide(t.Context(), &log, p)
	require.NoError(t, err)
	require.Equal(t, "/opt/thing", found)
	require.Equal(t, []string{"before", "after"}, steps)
	require.Equal(t, "provision: no Thing here: installing it (apt-get install thing thing-data); this may take a minute\n"+
		"provision: installed Thing 1.0: /opt/thing\n", log.String())
	said, err := os.ReadFile(calls)
	require.NoError(t, err)
	require.Equal(t, "noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update\n"+
		"noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends thing thing-data\n", string(said))
}

func TestProvide_tells_why_an_installation_failed(t *testing.T) {
	tools := t.TempDir()
	program(t, tools, "apt-get", `case "$*" in *update*) exit 0;; esac; echo "E: Unable to locate package thing"; exit 100`)
	program(t, tools, "sudo", `shift; exec "$@"`)
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	p := missing(func() []string { return nil })
	var undone bool
	p.after = func(context.Context, root) error { undone = true; return errors.New("and the unit stays masked") }

	_, err := provide(t.Context(), nil, p)
	require.ErrorContains(t, err, "install Thing: ")
	require.ErrorContains(t, err, "E: Unable to locate package thing")
	require.ErrorContains(t, err, "and the unit stays masked")
	require.ErrorContains(t, err, "install it yourself")
	require.True(t, undone, "what was done before the installation was not undone after it")
}

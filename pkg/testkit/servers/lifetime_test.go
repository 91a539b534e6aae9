package servers_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestServers_end_when_their_parent_is_killed(t *testing.T) {
	t.Parallel()
	temporary := openTempDir(t)
	h := startHost(t, "TMPDIR="+temporary)
	told := h.told(t)
	require.False(t, gone(told.Postgres))
	require.False(t, gone(told.Redis))

	require.NoError(t, h.cmd.Process.Kill())
	require.Eventually(t, func() bool { return gone(told.Postgres) && gone(told.Redis) }, 20*time.Second, 10*time.Millisecond,
		"a server outlived its parent")

	t.Run("and the next process removes what they left", func(t *testing.T) {
		t.Parallel()
		require.DirExists(t, told.Data)
		next := startHost(t, "TMPDIR="+temporary)
		next.told(t)
		require.NoDirExists(t, told.Data)
		next.end(t)
	})
}

func TestServers_of_processes_that_start_at_once_share_one_template(t *testing.T) {
	t.Parallel()
	temporary := openTempDir(t)
	first, second := startHost(t, "TMPDIR="+temporary), startHost(t, "TMPDIR="+temporary)
	one, two := first.told(t), second.told(t)
	require.NotEqual(t, one.Data, two.Data)
	require.NotEqual(t, one.URL, two.URL)

	made, err := filepath.Glob(filepath.Join(temporary, "fenflow-*", "template-*", "complete"))
	require.NoError(t, err)
	require.Len(t, made, 1)
	unfinished, err := filepath.Glob(filepath.Join(temporary, "fenflow-*", "making-*"))
	require.NoError(t, err)
	require.Empty(t, unfinished)

	first.end(t)
	second.end(t)
	require.NoDirExists(t, one.Data, "a clean end left its data behind")
	require.NoDirExists(t, two.Data, "a clean end left its data behind")
}

func TestServers_start_where_the_temporary_folder_is_private(t *testing.T) {
	t.Parallel()
	h := startHost(t, "TMPDIR="+t.TempDir()) // as root: a folder that PostgreSQL's account cannot reach
	require.NotEmpty(t, h.told(t).URL)
	h.end(t)
}

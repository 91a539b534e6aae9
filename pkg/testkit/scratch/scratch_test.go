package scratch_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

func TestLock(t *testing.T) {
	t.Parallel()

	t.Run("is held by one at a time", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "a.lock")
		first, err := scratch.LockFile(t.Context(), path)
		require.NoError(t, err)
		second, err := scratch.TryLockFile(path)
		require.NoError(t, err)
		require.Nil(t, second)

		require.NoError(t, first.Release())
		second, err = scratch.TryLockFile(path)
		require.NoError(t, err)
		require.NotNil(t, second)
		require.NoError(t, second.Release())
	})

	t.Run("is waited for no longer than the context", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "a.lock")
		held, err := scratch.LockFile(t.Context(), path)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = scratch.LockFile(ctx, path)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, path)
		require.NoError(t, held.Release())
	})

	t.Run("does not follow a link that somebody left", func(t *testing.T) {
		t.Parallel()
		target := filepath.Join(t.TempDir(), "target")
		link := filepath.Join(t.TempDir(), "a.lock")
		require.NoError(t, os.Symlink(target, link))
		_, err := scratch.TryLockFile(link)
		require.Error(t, err)
		require.NoFileExists(t, target)
	})
}

func TestDir(t *testing.T) {
	t.Parallel()

	t.Run("is made once and used again", func(t *testing.T) {
		t.Parallel()
		base := t.TempDir()
		first, err := scratch.DirIn(base)
		require.NoError(t, err)
		second, err := scratch.DirIn(base)
		require.NoError(t, err)
		require.Equal(t, first, second)
		require.NoError(t, scratch.Private(first))
	})

	t.Run("that others can write is refused", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		require.NoError(t, os.Chmod(dir, 0o777))
		require.ErrorContains(t, scratch.Private(dir), "can be written by others")
	})

	t.Run("that is a link is refused", func(t *testing.T) {
		t.Parallel()
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(t.TempDir(), link))
		require.ErrorContains(t, scratch.Private(link), "is not a folder")
	})
}

func TestReservePort(t *testing.T) {
	t.Parallel()

	t.Run("gives each caller another port, and each is free", func(t *testing.T) {
		t.Parallel()
		seen := map[int]bool{}
		for range 50 {
			port, err := scratch.ReservePort()
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, port.Release()) })
			require.False(t, seen[port.Number], "port %d was given twice", port.Number)
			seen[port.Number] = true

			listener, err := net.Listen("tcp", port.Addr())
			require.NoError(t, err)
			require.NoError(t, listener.Close())
		}
	})

	t.Run("may be released twice", func(t *testing.T) {
		t.Parallel()
		port, err := scratch.ReservePort()
		require.NoError(t, err)
		require.NoError(t, port.Release())
		require.NoError(t, port.Release())
	})
}

// A forked child has copies of all descriptors until it runs its program.
func TestRelease_takes_effect_while_other_goroutines_start_processes(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command("true").Run() // only its start matters
				}
			}
		})
	}
	path := filepath.Join(t.TempDir(), "a.lock")
	for range 3000 {
		held, err := scratch.TryLockFile(path)
		require.NoError(t, err)
		require.NotNil(t, held, "a released lock is still held")
		require.NoError(t, held.Release())

		port, err := scratch.ReservePort()
		require.NoError(t, err)
		func() {
			// The test's own listener must not be copied either.
			syscall.ForkLock.RLock()
			defer syscall.ForkLock.RUnlock()
			listener, err := net.Listen("tcp", port.Addr())
			require.NoError(t, err, "a port that was found free is not")
			require.NoError(t, listener.Close())
		}()
		require.NoError(t, port.Release())
	}
	close(stop)
	starting.Wait()
}

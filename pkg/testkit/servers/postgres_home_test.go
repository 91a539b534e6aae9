package servers

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSweep_removes_the_homes_of_the_dead_only(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	alive, err := makeHome(base)
	require.NoError(t, err)
	dead, err := makeHome(base)
	require.NoError(t, err)
	require.NoError(t, dead.owner.Release())
	unfinished := filepath.Join(base, homePrefix+"1")
	require.NoError(t, os.Mkdir(unfinished, 0o700))

	sweep(base)
	require.DirExists(t, alive.dir)
	require.NoDirExists(t, dead.dir)
	require.NoDirExists(t, unfinished)
	require.NoError(t, alive.remove())
	require.NoDirExists(t, alive.dir)
}

func TestSweep_does_not_disturb_an_owner_that_removes_its_home(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	stop := make(chan struct{})
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				sweep(base)
			}
		}
	})
	for range 300 {
		// Made elsewhere and moved in: making is under a lock that keeps sweepers out.
		h, err := makeHome(t.TempDir())
		require.NoError(t, err)
		moved := filepath.Join(base, filepath.Base(h.dir))
		require.NoError(t, os.Rename(h.dir, moved))
		h.dir = moved
		for _, name := range []string{"a", "b", "z"} {
			require.NoError(t, os.WriteFile(filepath.Join(moved, name), nil, 0o600))
		}
		require.NoError(t, h.remove())
	}
	close(stop)
	sweeping.Wait()
}

package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

// home is a throw-away folder whose owner is alive as long as its lock is
// held: lock files survive process namespaces, process numbers do not.
type home struct {
	dir   string
	owner *scratch.Held
}

const (
	homePrefix = "postgres-"
	ownerLock  = "owner.lock"
)

// newHome makes a folder that the account can reach and removes those whose owners died.
func newHome(ctx context.Context, who account) (*home, error) {
	base, err := scratchBase(who)
	if err != nil {
		return nil, err
	}
	lock, err := scratch.LockFile(ctx, filepath.Join(base, "homes.lock"))
	if err != nil {
		return nil, err
	}
	sweep(base)
	h, err := makeHome(base)
	return h, errors.Join(err, lock.Release())
}

// scratchBase is the private folder where the account can reach it: below the
// temporary folder, or below /tmp when that one is closed to the account.
func scratchBase(who account) (string, error) {
	temporary := os.TempDir()
	closed := who.reach(temporary)
	if closed != nil {
		temporary = "/tmp"
		if err := who.reach(temporary); err != nil {
			return "", closed
		}
	}
	return scratch.DirIn(temporary)
}

func makeHome(base string) (*home, error) {
	dir, err := os.MkdirTemp(base, homePrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // the server's account passes through
		return nil, fmt.Errorf("open the way through: %w", err)
	}
	owner, err := scratch.TryLockFile(filepath.Join(dir, ownerLock))
	if err != nil {
		return nil, err
	}
	if owner == nil {
		return nil, fmt.Errorf("lock the new folder %s: somebody else holds it", dir)
	}
	return &home{dir: dir, owner: owner}, nil
}

// sweep removes the folders of dead owners. What cannot be removed now, such
// as the folder of a server that is just ending, is removed next time. It makes
// no lock file: in a folder that its owner is removing, a new file would stop the owner.
func sweep(base string) {
	found, err := filepath.Glob(filepath.Join(base, homePrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		owner, err := scratch.TryLockExisting(filepath.Join(dir, ownerLock))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// Half made by a process that died, or half removed: folders are made under the caller's lock.
			_ = os.RemoveAll(dir)
		case err == nil && owner != nil:
			_ = os.RemoveAll(dir)
			_ = owner.Release()
		}
	}
}

func (h *home) remove() error {
	if err := os.RemoveAll(h.dir); err != nil {
		return errors.Join(fmt.Errorf("remove temporary data: %w", err), h.owner.Release())
	}
	return h.owner.Release()
}

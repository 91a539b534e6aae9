package scratch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockPoll is how often a waiting Lock looks again: flock has no wait that a
// context could end.
const lockPoll = 20 * time.Millisecond

// Held is a lock that lasts until Release or the end of the process, kill -9
// included: the kernel drops it with the last descriptor.
type Held struct {
	file *os.File
}

// Lock waits for the named lock of the private folder.
func Lock(ctx context.Context, name string) (*Held, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	return LockFile(ctx, filepath.Join(dir, name+".lock"))
}

// LockFile waits for the lock on the file at path, made if missing.
func LockFile(ctx context.Context, path string) (*Held, error) {
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		held, err := TryLockFile(path)
		if held != nil || err != nil {
			return held, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock %s, held by another process: %w", path, ctx.Err())
		case <-poll.C:
		}
	}
}

// TryLockFile takes the lock on the file at path, or returns nil when another
// holder has it.
func TryLockFile(path string) (*Held, error) {
	return tryLock(path, os.O_CREATE)
}

// TryLockExisting is TryLockFile that makes no file: the error is
// fs.ErrNotExist when there is none.
func TryLockExisting(path string) (*Held, error) {
	return tryLock(path, 0)
}

func tryLock(path string, create int) (*Held, error) {
	file, err := os.OpenFile(path, create|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return &Held{file: file}, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return nil, file.Close()
		default:
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
	}
}

// Release gives the lock back. The file stays: removing it would let two
// holders lock two different files of one name. Closing alone would not do: a
// child that another goroutine has just forked keeps a copy of the descriptor
// until it runs its program, and the lock with it.
func (h *Held) Release() error {
	err := syscall.Flock(int(h.file.Fd()), syscall.LOCK_UN)
	return errors.Join(err, h.file.Close())
}

package scratch

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// folderMode lets other users pass through, because PostgreSQL started by root
// runs as another user and must reach its data; it lets nobody else list or write.
const folderMode = 0o711

// Dir is the private folder below the system's temporary folder, made if missing.
func Dir() (string, error) {
	return DirIn(os.TempDir())
}

// DirIn is the private folder below base, made if missing.
func DirIn(base string) (string, error) {
	dir := filepath.Join(base, fmt.Sprintf("fenflow-%d", os.Geteuid()))
	if err := os.Mkdir(dir, folderMode); err != nil && !os.IsExist(err) {
		return "", fmt.Errorf("make the temporary folder: %w", err)
	}
	if err := Private(dir); err != nil {
		return "", err
	}
	// The umask may have closed the way through.
	if err := os.Chmod(dir, folderMode); err != nil {
		return "", fmt.Errorf("open the way through the temporary folder: %w", err)
	}
	return dir, nil
}

// Sub is a folder inside dir with the same way through, made if missing.
func Sub(dir, name string) (string, error) {
	sub := filepath.Join(dir, name)
	if err := os.Mkdir(sub, folderMode); err != nil && !os.IsExist(err) {
		return "", fmt.Errorf("make the temporary folder: %w", err)
	}
	if err := os.Chmod(sub, folderMode); err != nil {
		return "", fmt.Errorf("open the way through the temporary folder: %w", err)
	}
	return sub, nil
}

// Private says whether dir is a real folder of the current user in which
// nobody else can write: the temporary folder is everyone's, so a name in it
// proves nothing.
func Private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder: remove it, or set TMPDIR to another place", dir)
	case !ok || int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user: remove it, or set TMPDIR to another place", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by others: remove it, or set TMPDIR to another place", dir)
	}
	return nil
}

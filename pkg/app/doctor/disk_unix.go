//go:build linux || darwin

package doctor

import "syscall"

// freeBytes is what an ordinary user may still write to the disk of a folder.
func freeBytes(dir string) (int64, bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true //nolint:unconvert // their types differ between systems
}

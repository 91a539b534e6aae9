package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

// template is an empty cluster kept between runs: initdb takes about a second,
// a copy a tenth of one. It belongs to the current user, not to the account that runs the
// server, so that nothing which got into a server can spoil the next one.
type template struct {
	base   string // the private folder
	name   string
	binDir string
	who    account
}

// errDamaged is a template that is not what it was when it was made.
var errDamaged = errors.New("the cluster template is damaged")

func (t template) dir() string {
	return filepath.Join(t.base, fmt.Sprintf("%s-uid%d", t.name, t.who.uid))
}
func (t template) cluster() string { return filepath.Join(t.dir(), "data") }
func (t template) marker() string  { return filepath.Join(t.dir(), "complete") }

// ensure makes the template if it is missing. The rename at the end makes it
// appear whole or not at all.
func (t template) ensure(ctx context.Context) error {
	lock, err := t.lock(ctx)
	if err != nil {
		return err
	}
	if _, err = os.Stat(t.marker()); err != nil {
		err = t.make(ctx)
	}
	return errors.Join(err, lock.Release())
}

func (t template) lock(ctx context.Context) (*scratch.Held, error) {
	return scratch.LockFile(ctx, t.dir()+".lock")
}

func (t template) make(ctx context.Context) error {
	if err := os.RemoveAll(t.dir()); err != nil {
		return fmt.Errorf("remove what is left of an old one: %w", err)
	}
	staging, err := os.MkdirTemp(t.base, "making-template-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := errors.Join(t.fill(ctx, staging), os.Rename(staging, t.dir())); err != nil {
		return errors.Join(err, os.RemoveAll(staging))
	}
	return nil
}

func (t template) fill(ctx context.Context, staging string) error {
	if err := os.Chmod(staging, 0o711); err != nil { // initdb's account passes through
		return fmt.Errorf("open the way through: %w", err)
	}
	cluster := filepath.Join(staging, "data")
	if err := os.Mkdir(cluster, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := t.who.own(cluster); err != nil {
		return fmt.Errorf("hand the folder to %s: %w", t.who.name, err)
	}
	if err := runAs(ctx, t.who, filepath.Join(t.binDir, "initdb"), "-D", cluster, "-U", Superuser,
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"); err != nil {
		return err
	}
	if err := includeSettings(cluster); err != nil {
		return err
	}
	if err := takeBack(cluster); err != nil {
		return fmt.Errorf("take the template back from %s: %w", t.who.name, err)
	}
	content, err := weigh(cluster)
	if err != nil {
		return fmt.Errorf("weigh the template: %w", err)
	}
	return os.WriteFile(filepath.Join(staging, "complete"), []byte(content.String()), 0o600)
}

func includeSettings(cluster string) error {
	file, err := os.OpenFile(filepath.Join(cluster, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("include our settings: %w", err)
	}
	_, err = fmt.Fprintf(file, "\ninclude_if_exists = '%s'\n", settingsFile)
	return errors.Join(err, file.Close())
}

// takeBack makes the current user the owner of everything below dir.
func takeBack(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 0, 0)
	})
}

// copyTo copies the template to data and hands the copy to the account.
func (t template) copyTo(data string) error {
	want, err := os.ReadFile(t.marker())
	if err != nil {
		return errDamaged
	}
	content, err := weigh(t.cluster())
	if err != nil || content.String() != strings.TrimSpace(string(want)) {
		return errDamaged
	}
	if err := os.MkdirAll(filepath.Dir(data), 0o711); err != nil { // the server's account passes through
		return fmt.Errorf("make the data folder: %w", err)
	}
	if err := copyTree(t.cluster(), data, t.who); err != nil {
		return fmt.Errorf("copy the cluster template: %w", err)
	}
	return nil
}

func (t template) discard(ctx context.Context) error {
	lock, err := t.lock(ctx)
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(t.marker()), lock.Release())
}

// weight is a cheap check that nothing was removed or cut short.
type weight struct {
	entries int
	bytes   int64
}

func (w weight) String() string { return fmt.Sprintf("%d entries, %d bytes", w.entries, w.bytes) }

func weigh(dir string) (weight, error) {
	var w weight
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		w.entries++
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err == nil {
			w.bytes += info.Size()
		}
		return err
	})
	return w, err
}

func copyTree(from, to string, who account) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		if entry.IsDir() {
			// The data folder itself may be there already, empty.
			if err := os.Mkdir(target, 0o700); err != nil && (!os.IsExist(err) || path != from) {
				return err
			}
			if path == from {
				err = os.Chmod(target, 0o700) // PostgreSQL asks for 0700
			}
		} else {
			err = copyFile(path, target)
		}
		return errors.Join(err, who.own(target))
	})
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

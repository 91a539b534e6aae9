package servers

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who runs PostgreSQL. The server declines to run as root.
type account struct {
	name     string
	uid, gid int
	// switched says that the account is not the current user.
	switched bool
}

func postgresAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{name: "uid " + strconv.Itoa(os.Geteuid()), uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(found.Uid)
		gid, gidErr := strconv.Atoi(found.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return account{}, fmt.Errorf("read the account %s: %w", name, err)
		}
		return account{name: name, uid: uid, gid: gid, switched: true}, nil
	}
	return account{}, errors.New("PostgreSQL declines to run as root and there is neither a user postgres nor nobody: run \"useradd --system postgres\", or run this as another user")
}

// credential is what a child process needs to run as the account; nil for the current user.
func (a account) credential() *syscall.Credential {
	if !a.switched {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// own hands the file or folder to the account.
func (a account) own(path string) error {
	if !a.switched {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// PostgresReach says whether the user that would run PostgreSQL can pass
// through every folder down to dir. As root that is another user, so folders
// below /root, and most private ones, are out of reach.
func PostgresReach(dir string) error {
	who, err := postgresAccount()
	if err != nil {
		return err
	}
	return who.reach(dir)
}

func (a account) reach(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the folder: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !a.mayPass(info):
			return fmt.Errorf("PostgreSQL runs as %s, who may not pass through %s: choose a folder that this user can reach, such as one below /tmp", a.name, dir)
		case err != nil && !os.IsNotExist(err):
			return fmt.Errorf("look at the folder: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

func (a account) mayPass(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	switch mode := info.Mode().Perm(); {
	case int(stat.Uid) == a.uid:
		return mode&0o100 != 0
	case int(stat.Gid) == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fenflow/fenflow/deploy"
)

// AccountsFile holds the NATS accounts of business systems; what `fenflow
// subscriber add` prints is put there.
func (s *Stack) AccountsFile() string { return s.options.path(deploy.SubscriberAccountsFile) }

// writeAccounts leaves the file of a former run as it is.
func (s *Stack) writeAccounts() error {
	if err := os.MkdirAll(filepath.Dir(s.AccountsFile()), 0o711); err != nil {
		return fmt.Errorf("make its folder: %w", err)
	}
	file, err := os.OpenFile(s.AccountsFile(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open it: %w", err)
	}
	_, err = file.Write(deploy.SubscriberAccounts())
	return errors.Join(err, file.Close())
}

// ReloadNATS has the broker read its configuration again, as an operator would.
func (s *Stack) ReloadNATS() error {
	p := s.find("nats")
	if p == nil {
		return errors.New("the broker does not run")
	}
	pid, _ := p.status()
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("tell the broker (pid %d): %w", pid, err)
	}
	return nil
}

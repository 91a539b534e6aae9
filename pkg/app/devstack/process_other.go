//go:build !linux

package devstack

import (
	"os/exec"
	"syscall"
)

// startBound starts a child in a group of its own. Only Linux can tie its life
// to ours; elsewhere a stack that is killed with kill -9 leaves its parts running.
func startBound(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}

//go:build unix && !linux

package servers

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

func attributes(who *syscall.Credential, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who, Setpgid: true}
}

// watch starts a shell that waits for the end of a pipe of ours and then
// signals the child: these kernels have no parent-death signal. Without a
// shell nothing watches.
func watch(pid int, orphaned syscall.Signal) func() {
	script := fmt.Sprintf("read -r _; kill -%d %d", int(orphaned), pid)
	shell := exec.Command("/bin/sh", "-c", script) //nolint:noctx // it lives as long as the child
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	held, err := shell.StdinPipe()
	if err != nil {
		return func() {}
	}
	if err := shell.Start(); err != nil {
		return func() {}
	}
	return func() { endWatch(shell, held) }
}

// endWatch ends the shell before its pipe, so that it signals nobody.
func endWatch(shell *exec.Cmd, held io.Closer) {
	_ = shell.Process.Kill()
	_ = shell.Wait()
	_ = held.Close()
}

// offspring are the direct children of a process.
func offspring(pid int) []int {
	text, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output() //nolint:noctx // returns at once
	if err != nil {
		return nil
	}
	var found []int
	for _, field := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(field); err == nil {
			found = append(found, n)
		}
	}
	return found
}

package servers

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// attributes have the kernel signal the child when this process dies in any way.
func attributes(who *syscall.Credential, orphaned syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who, Pdeathsig: orphaned, Setpgid: true}
}

// watch has nothing to do here: the kernel watches.
func watch(int, syscall.Signal) func() { return func() {} }

// offspring are the direct children of a process.
func offspring(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
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

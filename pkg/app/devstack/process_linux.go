package devstack

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// startBound starts a child that the kernel ends when this program ends, even
// by kill -9. The signal is tied to the thread that started the child, so the
// starting is done on one thread that lives as long as the program.
func startBound(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // Ctrl-C reaches the stack first, which ends its parts in order
	result := make(chan error)
	starter() <- func() { result <- cmd.Start() }
	return <-result
}

// starter gives the way to the one thread.
//
//nolint:gochecknoglobals // there is one such thread in a process, by its nature
var starter = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

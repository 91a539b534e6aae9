// Command devstack runs all of fenflow on this machine: `devstack up` to look
// around, `devstack demo` to watch a thousand payments go through.
package main

import (
	"context"
	"os"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/console"
	"github.com/fenflow/fenflow/pkg/app/devstack"
	"github.com/fenflow/fenflow/pkg/app/ingest"
	"github.com/fenflow/fenflow/pkg/app/reconciler"
	"github.com/fenflow/fenflow/pkg/app/worker"
	"github.com/fenflow/fenflow/pkg/config"
)

func main() {
	roles := devstack.Parts()
	for role, main := range map[config.Role]boot.Main{
		config.RoleIngest: ingest.Main, config.RoleWorker: worker.Main, config.RoleReconciler: reconciler.Main,
		config.RoleConsole: console.Main,
	} {
		roles[string(role)] = func(_ context.Context, args []string) int { return boot.Run(role, args, main) }
	}
	os.Exit(devstack.Main(os.Args[1:], roles, os.Stdout, os.Stderr))
}

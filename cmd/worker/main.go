// Command worker settles notifications, executes commands and relays events.
package main

import (
	"os"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/worker"
	"github.com/fenflow/fenflow/pkg/config"
)

func main() {
	os.Exit(boot.Run(config.RoleWorker, os.Args[1:], worker.Main))
}

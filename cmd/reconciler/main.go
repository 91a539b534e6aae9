// Command reconciler asks WeChat Pay about what stays unresolved and sends refunds.
package main

import (
	"os"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/reconciler"
	"github.com/fenflow/fenflow/pkg/config"
)

func main() {
	os.Exit(boot.Run(config.RoleReconciler, os.Args[1:], reconciler.Main))
}

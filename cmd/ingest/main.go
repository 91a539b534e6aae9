// Command ingest is the HTTP edge: it takes WeChat Pay's notifications and the
// requests of shops, and holds neither secrets of merchants nor a database.
package main

import (
	"os"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/app/ingest"
	"github.com/fenflow/fenflow/pkg/config"
)

func main() { os.Exit(boot.Run(config.RoleIngest, os.Args[1:], ingest.Main)) }

package provision

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
)

// oldestRedis is the oldest version whose append-only file and scripts asynq is run on here.
const oldestRedis = 6

// Redis finds or installs redis-server and returns the program.
func Redis(ctx context.Context, log io.Writer) (bin string, err error) {
	return provide(ctx, log, part{
		name:  "Redis",
		chose: "FENFLOW_REDIS_BIN",
		candidates: func(ctx context.Context) []string {
			return slices.Concat(
				programOnPath("redis-server"),
				existing("/usr/bin/redis-server", "/usr/local/bin/redis-server", "/opt/homebrew/bin/redis-server"),
				inFolders(brewFolders(ctx, "redis"), "redis-server"),
			)
		},
		check: func(ctx context.Context, bin string) (string, error) {
			return version(ctx, bin, `v=(\d+[.\d]*)`, oldestRedis)
		},
		apt:    []string{"redis-server"},
		before: maskRedis,
		after:  unmaskRedis,
		brew:   "redis",
		advice: "install redis-server 6 or newer, or set FENFLOW_REDIS_BIN to the program",
	})
}

// Debian's package starts a server on port 6379 and enables it for each boot,
// where systemd runs. We want the program only: the unit is masked until the
// installation is over, then disabled. Nothing that ran before is touched, as
// there was no redis-server to run. Without systemd nothing starts.
const redisUnit = "redis-server.service"

func maskRedis(ctx context.Context, r root) error {
	if !systemd() {
		return nil
	}
	if err := r.run(ctx, nil, "systemctl", "mask", "--runtime", redisUnit); err != nil {
		return fmt.Errorf("keep apt from starting Redis: %w", err)
	}
	return nil
}

func unmaskRedis(ctx context.Context, r root) error {
	if !systemd() {
		return nil
	}
	if err := r.run(ctx, nil, "systemctl", "unmask", "--runtime", redisUnit); err != nil {
		return fmt.Errorf("give the Redis unit free again: %w", err)
	}
	if err := r.run(ctx, nil, "systemctl", "disable", redisUnit); err != nil {
		return fmt.Errorf("keep Redis from starting at boot: %w", err)
	}
	return nil
}

// systemd says whether it runs here (sd_booted(3) looks at the same folder).
func systemd() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

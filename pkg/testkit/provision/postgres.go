package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldestPostgres is the oldest version that the schema is tested on.
const oldestPostgres = 15

// Postgres finds or installs PostgreSQL and returns the folder of its programs.
func Postgres(ctx context.Context, log io.Writer) (binDir string, err error) {
	return provide(ctx, log, part{
		name:  "PostgreSQL",
		chose: "FENFLOW_PG_BIN",
		candidates: func(ctx context.Context) []string {
			return slices.Concat(
				line(ctx, "pg_config", "--bindir"),
				newestFirst("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin"),
				brewFolders(ctx, "postgresql@17", "postgresql@16", "postgresql@15"),
				folderOnPath("postgres"),
			)
		},
		check:  checkPostgres,
		apt:    []string{"postgresql"},
		before: noMainCluster,
		brew:   "postgresql@17",
		advice: "install PostgreSQL 15 or newer, or set FENFLOW_PG_BIN to the folder of its programs (the one with initdb)",
	})
}

// checkPostgres asks for the version and looks for the programs that we run.
func checkPostgres(ctx context.Context, binDir string) (string, error) {
	for _, program := range []string{"postgres", "initdb"} {
		if _, err := exec.LookPath(filepath.Join(binDir, program)); err != nil {
			return "", fmt.Errorf("%s has no program %s", binDir, program)
		}
	}
	return version(ctx, filepath.Join(binDir, "postgres"), `\(PostgreSQL\) (\d+[.\w]*)`, oldestPostgres)
}

// version runs the program with --version, reads what the pattern catches and
// refuses what is older than oldest.
func version(ctx context.Context, program, pattern string, oldest int) (string, error) {
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("run %s --version: %w", program, err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("%s does not say its version: %q", program, out)
	}
	major, err := strconv.Atoi(regexp.MustCompile(`^\d+`).FindString(string(found[1])))
	if err != nil {
		return "", fmt.Errorf("%s does not say its version: %q", program, out)
	}
	if major < oldest {
		return "", fmt.Errorf("%s is version %s, too old: %d is the oldest supported", program, found[1], oldest)
	}
	return string(found[1]), nil
}

// clusterConf is read by Debian's packages before they make and start a
// cluster on port 5432.
const clusterConf = "/etc/postgresql-common/createcluster.conf"

const noClusterText = `# Written by fenflow before it installed the postgresql package: it needs the
# programs only, so the package should not make and start a cluster of its own.
# Remove the line below to get Debian's default back.
create_main_cluster = false
`

// noMainCluster keeps the package from starting a server that nobody asked
// for. A file that is there already is the owner's word.
func noMainCluster(ctx context.Context, r root) error {
	if _, err := os.Stat(clusterConf); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := r.run(ctx, nil, "mkdir", "-p", filepath.Dir(clusterConf)); err != nil {
		return fmt.Errorf("keep apt from starting a cluster: %w", err)
	}
	if err := r.run(ctx, strings.NewReader(noClusterText), "tee", clusterConf); err != nil {
		return fmt.Errorf("keep apt from starting a cluster: %w", err)
	}
	return nil
}

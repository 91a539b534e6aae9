package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// prepareCluster makes sure that data holds a cluster of this version that
// belongs to the account. A kept cluster is written out to disk at once.
func prepareCluster(ctx context.Context, binDir, data string, who account, kept bool) error {
	if err := who.reach(filepath.Dir(data)); err != nil {
		return err
	}
	version, err := serverVersion(ctx, binDir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(data)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if len(entries) > 0 {
		return checkCluster(data, version, who)
	}
	if err := makeCluster(ctx, binDir, data, version, who); err != nil {
		return err
	}
	if !kept {
		return nil
	}
	return runAs(ctx, who, filepath.Join(binDir, "initdb"), "--sync-only", "-D", data)
}

// checkCluster tells the two usual reasons why an old folder cannot be used,
// before the server tells them less clearly.
func checkCluster(data, version string, who account) error {
	written, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return fmt.Errorf("%s is not empty and holds no PostgreSQL data: choose another folder (%w)", data, err)
	}
	if major := strings.TrimSpace(string(written)); major != majorOf(version) {
		return fmt.Errorf("%s was written by PostgreSQL %s and the server found is %s: remove the folder, or set FENFLOW_PG_BIN to the programs of version %s", data, major, version, major)
	}
	info, err := os.Stat(data)
	if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != who.uid {
		return fmt.Errorf("%s does not belong to %s, who runs PostgreSQL here: remove the folder, or run as its owner", data, who.name)
	}
	return nil
}

// makeCluster copies the template. A template that lost files, as temporary
// folders do on long-lived machines, is made anew once.
func makeCluster(ctx context.Context, binDir, data, version string, who account) error {
	base, err := scratchBase(who)
	if err != nil {
		return err
	}
	t := template{base: base, name: "template-" + version, binDir: binDir, who: who}
	for range 2 {
		if err = t.ensure(ctx); err != nil {
			return fmt.Errorf("make the cluster template: %w", err)
		}
		if err = t.copyTo(data); !errors.Is(err, errDamaged) {
			return err
		}
		if err := t.discard(ctx); err != nil {
			return fmt.Errorf("remove the damaged cluster template: %w", err)
		}
	}
	return err
}

// serverVersion is such as "15.18".
func serverVersion(ctx context.Context, binDir string) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(binDir, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	found := regexp.MustCompile(`\(PostgreSQL\) (\d+[.\w]*)`).FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("ask PostgreSQL for its version: cannot read %q", out)
	}
	return string(found[1]), nil
}

func majorOf(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return major
}

// runAs runs a program of PostgreSQL to its end as the account.
func runAs(ctx context.Context, who account, program string, args ...string) error {
	var words bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", serverEnvironment(), &words, &words
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who.credential()}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s as %s: %w: %s", filepath.Base(program), who.name, err, bytes.TrimSpace(words.Bytes()))
	}
	return nil
}

package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// way is one means of installing.
type way struct {
	says string
	run  func(context.Context) error
}

// choose takes apt where we may use it, else Homebrew.
func (p part) choose(ctx context.Context) (way, error) {
	aptGet, aptErr := exec.LookPath("apt-get")
	if aptErr == nil && len(p.apt) > 0 {
		if r, ok := asRoot(ctx); ok {
			return way{says: "apt-get install " + strings.Join(p.apt, " "), run: func(ctx context.Context) error { return p.byApt(ctx, r, aptGet) }}, nil
		}
		aptErr = errors.New("apt-get needs root and \"sudo -n\" is refused")
	}
	if brew, err := exec.LookPath("brew"); err == nil && p.brew != "" {
		return way{says: "brew install " + p.brew, run: func(ctx context.Context) error { return run(ctx, nil, brew, "install", p.brew) }}, nil
	}
	if aptErr == nil || errors.Is(aptErr, exec.ErrNotFound) {
		return way{}, errors.New("there is no apt-get and no Homebrew that could install it")
	}
	return way{}, aptErr
}

// byApt refreshes the lists and installs. A list that cannot be refreshed is
// told only if the installation fails too: one dead third-party source should
// not be in the way.
func (p part) byApt(ctx context.Context, r root, aptGet string) (err error) {
	if p.before != nil {
		if err := p.before(ctx, r); err != nil {
			return err
		}
	}
	if p.after != nil {
		defer func() { err = errors.Join(err, p.after(ctx, r)) }()
	}
	quiet := []string{"env", "DEBIAN_FRONTEND=noninteractive", "UCF_FORCE_CONFFOLD=1", aptGet, "-q", "-o", "DPkg::Lock::Timeout=300"}
	updateErr := r.run(ctx, nil, slices.Concat(quiet, []string{"update"})...)
	install := slices.Concat(quiet, []string{"install", "-y", "--no-install-recommends"}, p.apt)
	if err := r.run(ctx, nil, install...); err != nil {
		return errors.Join(err, updateErr)
	}
	return nil
}

// root runs commands with the rights that apt needs.
type root struct {
	prefix []string
}

func asRoot(ctx context.Context) (root, bool) {
	if os.Geteuid() == 0 {
		return root{}, true
	}
	// -n: ask for no password, since nobody may be there to give it.
	if err := exec.CommandContext(ctx, "sudo", "-n", "true").Run(); err != nil {
		return root{}, false
	}
	return root{prefix: []string{"sudo", "-n"}}, true
}

func (r root) run(ctx context.Context, stdin io.Reader, command ...string) error {
	full := slices.Concat(r.prefix, command)
	return run(ctx, stdin, full[0], full[1:]...)
}

// saidAtMost of a failed installer's output goes into the error.
const saidAtMost = 2 << 10

// run runs a command to its end; its output shows only if it fails.
func run(ctx context.Context, stdin io.Reader, program string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &said, &said
	if err := cmd.Run(); err != nil {
		words := bytes.TrimSpace(said.Bytes())
		if extra := len(words) - saidAtMost; extra > 0 {
			words = words[extra:]
		}
		return fmt.Errorf("run %s %s: %w: %s", program, strings.Join(args, " "), err, words)
	}
	return nil
}

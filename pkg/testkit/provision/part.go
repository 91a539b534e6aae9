package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fenflow/fenflow/pkg/testkit/scratch"
)

// part is one thing that a machine may lack.
type part struct {
	name       string
	chose      string                                        // environment variable by which the user chooses
	candidates func(context.Context) []string                // where it may be, best first
	check      func(context.Context, string) (string, error) // runs a candidate, returns its version
	apt        []string
	before     func(context.Context, root) error // before apt installs; may be nil
	after      func(context.Context, root) error // after apt, whether it worked or not; may be nil
	brew       string                            // empty: Homebrew is not the way
	advice     string
}

// provide finds the part or installs it, and says which.
func provide(ctx context.Context, log io.Writer, p part) (string, error) {
	if log == nil {
		log = io.Discard
	}
	found, version, err := p.find(ctx)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", p.name, err)
	}
	if found != "" {
		return found, say(log, "found %s %s: %s", p.name, version, found)
	}
	lock, err := scratch.Lock(ctx, "provision")
	if err != nil {
		return "", fmt.Errorf("install %s: %w", p.name, err)
	}
	found, err = p.install(ctx, log)
	return found, errors.Join(err, lock.Release())
}

// find returns the first candidate that passes the check; nothing is no error,
// but what the user chose must be right.
func (p part) find(ctx context.Context) (found, version string, err error) {
	if chosen := os.Getenv(p.chose); chosen != "" {
		version, err = p.check(ctx, chosen)
		if err != nil {
			return "", "", fmt.Errorf("%s is set to %s: %w", p.chose, chosen, err)
		}
		return chosen, version, nil
	}
	for _, candidate := range p.candidates(ctx) {
		if version, err := p.check(ctx, candidate); err == nil {
			return candidate, version, nil
		}
	}
	return "", "", ctx.Err()
}

// install runs under the lock and looks again first: another process may have
// installed it meanwhile.
func (p part) install(ctx context.Context, log io.Writer) (string, error) {
	found, version, err := p.find(ctx)
	if err != nil || found != "" {
		return found, errors.Join(err, say(log, "found %s %s: %s", p.name, version, found))
	}
	how, err := p.choose(ctx)
	if err != nil {
		return "", fmt.Errorf("install %s: not found, and %w: %s", p.name, err, p.advice)
	}
	if err := say(log, "no %s here: installing it (%s); this may take a minute", p.name, how.says); err != nil {
		return "", err
	}
	if err := how.run(ctx); err != nil {
		return "", fmt.Errorf("install %s: %w; %s", p.name, err, p.advice)
	}
	if found, version, err = p.find(ctx); err != nil {
		return "", fmt.Errorf("find %s after installing it: %w", p.name, err)
	}
	if found == "" {
		return "", fmt.Errorf("install %s: %s gave no version that we can use (looked at: %s): %s", p.name, how.says, strings.Join(p.candidates(ctx), ", "), p.advice)
	}
	return found, say(log, "installed %s %s: %s", p.name, version, found)
}

func say(log io.Writer, format string, values ...any) error {
	if _, err := fmt.Fprintf(log, "provision: "+format+"\n", values...); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	return nil
}

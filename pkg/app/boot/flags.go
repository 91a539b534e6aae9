package boot

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/problem"
)

var errHelp = flag.ErrHelp

type flags struct {
	config   string
	settings map[string]string
	version  bool
}

func parseFlags(role config.Role, args []string, stderr io.Writer) (flags, error) {
	f := flags{settings: map[string]string{}}
	set := flag.NewFlagSet(string(role), flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.config, "config", "", "configuration `FILE` (default: "+config.FileVariable+", else fenflow.yaml)")
	set.Func("set", "override one setting, such as listen.admin=:9090 (`key=value`, may be repeated)", func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("must be key=value")
		}
		f.settings[key] = value
		return nil
	})
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return f, errHelp
		}
		return f, problem.New(problem.Usage, err.Error())
	}
	if set.NArg() > 0 {
		return f, problem.New(problem.Usage, fmt.Sprintf("%s takes no arguments, got %q", role, set.Arg(0)))
	}
	return f, nil
}

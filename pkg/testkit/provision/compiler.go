package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
)

// CCompiler finds or installs the C compiler that go build -race will call.
// It compiles a line with it, because a compiler without the C library's
// headers is none.
func CCompiler(ctx context.Context, log io.Writer) (bin string, err error) {
	return provide(ctx, log, part{
		name:       "C compiler",
		chose:      "CC",
		candidates: func(ctx context.Context) []string { return append(line(ctx, "go", "env", "CC"), defaultCompiler()) },
		check:      checkCompiler,
		apt:        []string{"gcc", "libc6-dev"},
		advice:     "install gcc (on macOS: run \"xcode-select --install\"), or set CC to a C compiler that you have",
	})
}

// defaultCompiler is what Go calls where CC says nothing.
func defaultCompiler() string {
	if runtime.GOOS == "darwin" {
		return "clang"
	}
	return "gcc"
}

func checkCompiler(ctx context.Context, command string) (string, error) {
	words := strings.Fields(command)
	if len(words) == 0 {
		return "", errors.New("no command")
	}
	probe := exec.CommandContext(ctx, words[0], append(words[1:], "-x", "c", "-", "-o", "/dev/null")...)
	probe.Stdin = strings.NewReader("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
	if out, err := probe.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile a line with %s: %w: %s", command, err, firstLine(out))
	}
	out, err := exec.CommandContext(ctx, words[0], "-dumpversion").Output()
	if err != nil {
		return "", fmt.Errorf("run %s -dumpversion: %w", words[0], err)
	}
	return firstLine(out), nil
}

func firstLine(out []byte) string {
	first, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return string(first)
}

package wechat

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childVariable makes this test binary a worker that asks for a token.
const childVariable = "FENFLOW_WECHAT_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := worker(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// PostgreSQL is shared by all tests and ends with the process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/fenflow/fenflow/pkg/testkit/servers.(*child).live"),
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).Start.func2"), // copies its output
	)
}

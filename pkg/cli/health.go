package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/problem"
)

// healthTimeout is shorter than the time-out of the health checks in
// docker-compose.yml, so that the answer says what was wrong.
const healthTimeout = 2 * time.Second

// maxHealthBody is plenty for the checks of one role.
const maxHealthBody = 64 << 10

type healthAnswer struct {
	URL    string `json:"url"`
	Status int    `json:"status"`
	Body   string `json:"body"`
}

// health asks one address; images without a shell have nothing else to ask with.
func (c *commandLine) health() *cobra.Command {
	return c.leaf("health URL", "Ask a health address and fail unless it answers 200", cobra.ExactArgs(1), func(ctx context.Context, args []string) (answer, error) {
		return askHealth(ctx, args[0])
	})
}

func askHealth(ctx context.Context, url string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil || req.URL.Host == "" {
		return answer{}, problem.Newf(problem.Usage, "%q is no address to ask, such as http://127.0.0.1:9090/readyz", url)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, problem.Wrap(problem.Unhealthy, err, "ask "+url)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxHealthBody))
	if err != nil {
		return answer{}, problem.Wrap(problem.Unhealthy, err, "read the answer of "+url)
	}
	body := strings.TrimSpace(string(raw))
	if resp.StatusCode != http.StatusOK {
		return answer{}, problem.Newf(problem.Unhealthy, "%s answers %d: %s", url, resp.StatusCode, body)
	}
	return answer{document: healthAnswer{url, resp.StatusCode, body}, text: fmt.Sprintf("%s answers 200\n", url)}, nil
}

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/problem"
)

// explanation is an error code as `explain` prints it.
type explanation struct {
	Code        string `json:"code"`
	Kind        string `json:"kind"`
	Title       string `json:"title"`
	NextStep    string `json:"next_step"`
	HTTPStatus  int    `json:"http_status"`
	Disposition string `json:"disposition"`
	ExitCode    int    `json:"exit_code"`
}

func explanationOf(e problem.Entry) explanation {
	return explanation{e.Code, string(e.Kind), e.Title, e.NextStep, e.Status, string(e.Disposition), e.ExitCode}
}

func (c *commandLine) explain() *cobra.Command {
	return c.leaf("explain [CODE]", "Explain an error code, such as FEN-2004; without one, list all", cobra.MaximumNArgs(1), func(_ context.Context, args []string) (answer, error) {
		if len(args) == 0 {
			return explainAll(), nil
		}
		return explainOne(args[0])
	})
}

func explainAll() answer {
	rows := [][]string{{"CODE", "TITLE"}}
	var all []explanation
	for _, e := range problem.Table() {
		rows = append(rows, []string{e.Code, e.Title})
		all = append(all, explanationOf(e))
	}
	return answer{document: map[string]any{"codes": all}, text: table(rows...)}
}

// explainOne takes FEN-2004, fen-2004 and 2004.
func explainOne(text string) (answer, error) {
	code := strings.ToUpper(text)
	if !strings.HasPrefix(code, "FEN-") {
		code = "FEN-" + code
	}
	e, ok := problem.ByCode(code)
	if !ok {
		err := problem.Newf(problem.NotFound, "there is no error code %q", text)
		err.NextStep = "`fenflow explain` lists all codes."
		return answer{}, err
	}
	x := explanationOf(e)
	return answer{document: x, text: fmt.Sprintf("%s  %s\n\n%s\n\n%s", x.Code, x.Title, x.NextStep, table(
		[]string{"kind", x.Kind},
		[]string{"HTTP status", fmt.Sprint(x.HTTPStatus)},
		[]string{"message on the bus", x.Disposition},
		[]string{"exit code", fmt.Sprint(x.ExitCode)},
	))}, nil
}

func (c *commandLine) version() *cobra.Command {
	return c.leaf("version", "Print the version of this program", cobra.NoArgs, func(context.Context, []string) (answer, error) {
		return answer{document: c.Build, text: c.Build.String() + "\n"}, nil
	})
}

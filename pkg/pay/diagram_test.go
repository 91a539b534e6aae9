package pay_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The state diagrams of the architecture page are drawn from the code's own
// tables. Make them anew with: go generate ./pkg/pay
var update = flag.Bool("update", false, "write the diagrams into the page")

const diagramPage = "../../docs/explanation/architecture.md"

func orderDiagram() string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> created\n")
	for _, t := range pay.OrderTransitions() {
		late := ""
		if t.Late {
			late = " (late)"
		}
		fmt.Fprintf(&b, "    %s --> %s: %s%s\n", t.From, t.To, t.Cause, late)
	}
	b.WriteString("    paid --> [*]\n```\n")
	return b.String()
}

func refundDiagram() string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> requested: by us\n    [*] --> processing: made elsewhere\n")
	for _, t := range pay.RefundTransitions() {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", t.From, t.To, t.Cause)
	}
	b.WriteString("    succeeded --> [*]\n    closed --> [*]\n```\n")
	return b.String()
}

func TestDiagrams_in_the_docs_are_the_tables(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(diagramPage)
	require.NoError(t, err)
	page := redraw(t, string(raw), "<!-- order states: generated from pay.OrderTransitions, do not edit -->\n", orderDiagram(), "<!-- end of order states -->")
	page = redraw(t, page, "<!-- refund states: generated from pay.RefundTransitions, do not edit -->\n", refundDiagram(), "<!-- end of refund states -->")
	if *update {
		require.NoError(t, os.WriteFile(diagramPage, []byte(page), 0o600))
		return
	}
	require.Equal(t, page, string(raw), "run: go generate ./pkg/pay")
}

// redraw puts a diagram between its markers.
func redraw(t *testing.T, page, begin, diagram, end string) string {
	t.Helper()
	before, rest, found := strings.Cut(page, begin)
	require.True(t, found, "the page has no marker for the diagram: %s", begin)
	_, after, found := strings.Cut(rest, end)
	require.True(t, found, "the page has no end marker for the diagram: %s", end)
	return before + begin + diagram + end + after
}

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

// The order state diagram of the architecture page is drawn from the code's
// own table. Make it anew with: go generate ./pkg/pay
var update = flag.Bool("update", false, "write the diagram into the page")

const (
	diagramPage  = "../../docs/explanation/architecture.md"
	diagramBegin = "<!-- order states: generated from pay.OrderTransitions, do not edit -->\n"
	diagramEnd   = "<!-- end of order states -->"
)

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

func TestOrderDiagram_in_the_docs_is_the_table(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(diagramPage)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(raw), diagramBegin)
	require.True(t, found, "the page has no marker for the diagram")
	_, after, found := strings.Cut(rest, diagramEnd)
	require.True(t, found, "the page has no end marker for the diagram")
	page := before + diagramBegin + orderDiagram() + diagramEnd + after
	if *update {
		require.NoError(t, os.WriteFile(diagramPage, []byte(page), 0o600))
		return
	}
	require.Equal(t, page, string(raw), "run: go generate ./pkg/pay")
}

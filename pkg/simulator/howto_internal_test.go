package simulator

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"
)

// TestHowTo: whoever reads the how-to finds every fault and everything that
// /control can do.
func TestHowTo_names_all_there_is(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/how-to/test-without-a-merchant-account.md")
	require.NoError(t, err)
	var missing []string
	look := func(name string) {
		if !strings.Contains(string(text), "`"+name+"`") {
			missing = append(missing, name)
		}
	}
	for _, info := range FaultKinds() {
		look(string(info.Kind))
	}
	for _, action := range []KeyAction{KeyStartSwitch, KeyPause, KeyRollBack, KeyRotate, KeyDrop} {
		look(string(action))
	}
	merchant, err := NewTestMerchant()
	require.NoError(t, err)
	s, err := New(Options{Merchant: merchant})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	routes, ok := s.handler.(chi.Routes)
	require.True(t, ok)
	require.NoError(t, chi.Walk(routes, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if strings.HasPrefix(path, "/control/") {
			look(method + " " + path)
		}
		return nil
	}))
	require.Empty(t, missing, "the how-to does not name these")
}

package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHowTo: a flag that is not in the how-to is found by chance only.
func TestHowTo_explains_every_flag_of_serve(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/how-to/test-without-a-merchant-account.md")
	require.NoError(t, err)
	flags := regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(serveCommand().Flags().FlagUsages(), -1)
	require.Contains(t, flags, "--speed")
	flags = slices.DeleteFunc(flags, func(flag string) bool { return strings.Contains(string(text), flag) })
	require.Empty(t, flags, "the how-to does not say what these do")
}

package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNobody_is_asked_through_dev_null(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer func() { _ = null.Close() }()
	require.Nil(t, somebody(null), "a character device, and no terminal: so cron starts commands")
}

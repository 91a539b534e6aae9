package queue_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Every test of this package stops its queues: whatever still runs after the
// last one is a leak of Run's or of Client's.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

package transport

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a goroutine is left once all tests have passed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

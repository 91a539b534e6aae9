package boot

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/fenflow/fenflow/pkg/pay"
)

// processBytes tell the processes of one installation apart, and leave room for
// the version in a connection's name.
const processBytes = 3

func newProcess() string {
	id := make([]byte, processBytes)
	_, _ = rand.Read(id) // never fails: crypto/rand.Read ends the program instead
	return hex.EncodeToString(id)
}

// ConnectionName is what PostgreSQL and NATS list a connection of this process
// under; `fenflow status` counts by it who is alive.
func (e Env) ConnectionName(part string) string {
	return pay.ConnectionName(part, e.Process, e.Build.Version)
}

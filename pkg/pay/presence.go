package pay

import (
	"strings"
	"time"
)

// Presence is one connection of fenflow's, as PostgreSQL or NATS lists it: who
// is connected is alive, and whoever dies is off the list at once.
type Presence struct {
	Name  string // see ConnectionName
	Since time.Time
}

const connectionPrefix = "fenflow-"

// maxConnectionName is what PostgreSQL keeps of an application_name.
const maxConnectionName = 63

// ConnectionName names a connection by what holds it (a role, or a part of one
// such as the listener notify), the process, and its version.
func ConnectionName(part, process, version string) string {
	name := connectionPrefix + part
	if process != "" {
		name += "/" + process + "/" + version
	}
	return name[:min(len(name), maxConnectionName)]
}

// ParseConnectionName is the way back. The version may be cut, and is empty, as
// is the process, where the name has none; ok is false for others' connections.
func ParseConnectionName(name string) (part, process, version string, ok bool) {
	rest, ok := strings.CutPrefix(name, connectionPrefix)
	part, rest, _ = strings.Cut(rest, "/")
	process, version, _ = strings.Cut(rest, "/")
	return part, process, version, ok && part != ""
}

package boot

import (
	"fmt"
	"runtime/debug"
)

// version is set by the linker for a release (see Dockerfile).
var version string

// Build says which build this is.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified"`
	BuiltAt  string `json:"built_at,omitempty"` // time of the commit
	Go       string `json:"go"`
}

// ReadBuild reads it from the binary.
func ReadBuild() Build {
	b := Build{Version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			b.BuiltAt = s.Value
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

// String is one line for people.
func (b Build) String() string {
	text := fmt.Sprintf("fenflow %s (%s", b.Version, b.Go)
	if b.Revision != "" {
		text += ", revision " + b.Revision
	}
	if b.Modified {
		text += ", modified"
	}
	return text + ")"
}

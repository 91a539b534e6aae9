package config

import (
	"maps"
	"slices"
	"strings"
)

// fileSuffix makes a variable name the file that holds a secret.
const fileSuffix = "_FILE"

// readEnvironment lets variables override the file. An empty variable is the
// same as none: compose files and unit files pass empty ones along.
func (l *loader) readEnvironment(c *Config) {
	known := map[string]bool{FileVariable: true}
	for _, f := range fieldsOf(c) {
		if !f.settable() {
			continue
		}
		known[f.env] = true
		if text, _ := l.options.Lookup(f.env); text != "" {
			l.set(f, text, Origin{Env: f.env})
		}
		if f.secret() {
			known[f.env+fileSuffix] = true
			l.readSecretVariable(f)
		}
	}
	l.misspelt(known)
}

// readSecretVariable notes the file of a secret. It is opened only for a role
// that may hold the secret.
func (l *loader) readSecretVariable(f field) {
	name := f.env + fileSuffix
	file, _ := l.options.Lookup(name)
	if file == "" {
		return
	}
	if text, _ := l.options.Lookup(f.env); text != "" {
		l.fail(f.key, Origin{Env: name}, "is set together with %s: unset one", f.env)
		return
	}
	l.pending[f.key], l.origins[f.key] = file, Origin{Env: name}
	f.value.SetString("")
}

// misspelt tells of variables that look like ours and are read by nobody.
func (l *loader) misspelt(known map[string]bool) {
	names := slices.Sorted(maps.Keys(known))
	for _, pair := range l.options.Environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "FENFLOW_") || known[name] {
			continue
		}
		if hint := nearest(name, names, 2); hint != "" {
			l.notices = append(l.notices, Problem{Origin: Origin{Env: name}, Message: "is read by nobody" + hint})
		}
	}
}

package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// How a text is checked and resolved.
const (
	kindFile       = "file"        // a path; relative to the YAML file
	kindSecretFile = "secret_file" // the same, of a secret
)

// field is one setting, as the walk over the struct finds it.
type field struct {
	key      string // such as listen.admin or merchants[0].mchid
	value    reflect.Value
	doc      string
	standard string // default
	kind     string
	roles    []string // nil: all
	env      string   // variable; empty inside merchants
	onlyEnv  bool     // refused in the YAML file
}

// tags are what a field hands down to the fields below it.
type tags struct {
	roles   []string
	onlyEnv bool
}

// fieldsOf walks a configuration in the order of its struct. Lists of structs
// are walked element by element.
func fieldsOf(c *Config) []field {
	var found []field
	walk(reflect.ValueOf(c).Elem(), "", tags{}, func(f field) { found = append(found, f) })
	return found
}

func walk(v reflect.Value, prefix string, above tags, visit func(field)) {
	for i := range v.NumField() {
		part := v.Type().Field(i)
		name := part.Tag.Get("yaml")
		if name == "" {
			continue
		}
		key, below := join(prefix, name), above.with(part.Tag)
		switch {
		case part.Type.Kind() == reflect.Struct:
			walk(v.Field(i), key, below, visit)
		case isStructList(part.Type):
			for n := range v.Field(i).Len() {
				walk(v.Field(i).Index(n), fmt.Sprintf("%s[%d]", key, n), below, visit)
			}
		default:
			visit(newField(v.Field(i), part.Tag, key, below))
		}
	}
}

func newField(v reflect.Value, tag reflect.StructTag, key string, t tags) field {
	f := field{
		key: key, value: v, doc: tag.Get("doc"), standard: tag.Get("default"),
		kind: tag.Get("kind"), roles: t.roles, env: tag.Get("env"), onlyEnv: t.onlyEnv,
	}
	if f.env == "" && !strings.Contains(key, "[") {
		f.env = "FENFLOW_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
	}
	return f
}

func (t tags) with(tag reflect.StructTag) tags {
	if roles := tag.Get("roles"); roles != "" {
		t.roles = strings.Fields(roles)
	}
	t.onlyEnv = t.onlyEnv || tag.Get("from") == "environment"
	return t
}

func isStructList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func (f field) heldBy(r Role) bool { return f.roles == nil || slices.Contains(f.roles, string(r)) }

// settable says whether environment and flags reach the field.
func (f field) settable() bool { return f.env != "" }

func (f field) secret() bool { return f.value.Type() == reflect.TypeFor[merchant.Secret]() }

func (f field) isPath() bool { return f.kind == kindFile || f.kind == kindSecretFile }

// typeName is what the reference page calls the field's type.
func (f field) typeName() string {
	switch {
	case f.secret():
		return "secret"
	case f.isPath() && f.value.Kind() == reflect.Slice:
		return "list of paths"
	case f.isPath():
		return "path"
	case f.value.Type() == reflect.TypeFor[time.Duration]():
		return "duration"
	case f.value.Kind() == reflect.Slice:
		return "list"
	case f.value.Kind() == reflect.Int:
		return "integer"
	case f.value.Kind() == reflect.Bool:
		return "true or false"
	}
	return "text"
}

package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decode puts a YAML node into a value and notes where each setting stands.
// It is written by hand because the library can tell either the line of a
// value or that a key is unknown, but not suggest, and stops at the first.
func (l *loader) decode(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return
	}
	switch {
	case v.Kind() == reflect.Struct:
		l.decodeStruct(n, v, key)
	case isStructList(v.Type()):
		l.decodeList(n, v, key)
	}
}

func (l *loader) decodeStruct(n *yaml.Node, v reflect.Value, prefix string) {
	if n.Kind != yaml.MappingNode {
		l.fail(prefix, l.at(n), "must be a mapping of keys to values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, node := n.Content[i].Value, n.Content[i+1]
		key := join(prefix, name)
		part, ok := partNamed(v, name)
		switch {
		case !ok:
			l.fail(key, l.at(n.Content[i]), "is not a known key%s", didYouMean(name, partNames(v)))
		case seen[name]:
			l.fail(key, l.at(n.Content[i]), "is there twice: remove one")
		case part.Tag.Get("from") == "environment":
			l.fail(key, l.at(n.Content[i]), "does not belong into the file: use nats.password_files, or FENFLOW_NATS_<USER>_PASSWORD in the environment")
		default:
			l.decodePart(node, v.FieldByIndex(part.Index), key, part)
		}
		seen[name] = true
	}
}

func (l *loader) decodePart(n *yaml.Node, v reflect.Value, key string, part reflect.StructField) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Tag == "!!null" || n.Kind == yaml.ScalarNode && n.Value == "" && v.Kind() != reflect.Struct:
		// the same as absent
	case v.Kind() == reflect.Struct || isStructList(v.Type()):
		l.decode(n, v, key)
	case v.Kind() == reflect.Slice:
		l.decodeTexts(n, v, key, part)
	case n.Kind != yaml.ScalarNode:
		l.fail(key, l.at(n), "must be a single value")
	default:
		l.set(newField(v, part.Tag, key, tags{}), n.Value, l.at(n))
	}
}

func (l *loader) decodeList(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.SequenceNode {
		l.fail(key, l.at(n), "must be a list (lines that begin with a dash)")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, element := range n.Content {
		path := fmt.Sprintf("%s[%d]", key, i)
		l.origins[path] = l.at(element)
		l.decode(element, v.Index(i), path)
	}
	l.origins[key] = l.at(n)
}

func (l *loader) decodeTexts(n *yaml.Node, v reflect.Value, key string, part reflect.StructField) {
	if n.Kind != yaml.SequenceNode {
		l.fail(key, l.at(n), "must be a list, such as [%s]", "a, b")
		return
	}
	texts := make([]string, 0, len(n.Content))
	for _, element := range n.Content {
		if element.Kind != yaml.ScalarNode || element.Value == "" {
			l.fail(key, l.at(element), "must hold single values that are not empty")
			return
		}
		texts = append(texts, element.Value)
	}
	l.setTexts(newField(v, part.Tag, key, tags{}), texts, l.at(n))
}

func (l *loader) at(n *yaml.Node) Origin { return Origin{File: l.file, Line: n.Line} }

// set parses one text into a field, whatever its source.
func (l *loader) set(f field, text string, at Origin) {
	var err error
	switch {
	case f.value.Kind() == reflect.Slice:
		l.setTexts(f, strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }), at)
		return
	case f.value.Type() == reflect.TypeFor[time.Duration]():
		var d time.Duration
		if d, err = time.ParseDuration(text); err != nil {
			err = fmt.Errorf("%q is not a duration, such as 60s or 30m", text)
		}
		f.value.SetInt(int64(d))
	case f.value.Kind() == reflect.Int:
		var n int
		if n, err = strconv.Atoi(text); err != nil {
			err = fmt.Errorf("%q is not an integer", text)
		}
		f.value.SetInt(int64(n))
	case f.value.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			err = fmt.Errorf("%q is neither true nor false", text)
		}
		f.value.SetBool(text == "true")
	default:
		f.value.SetString(l.resolve(f, text, at))
	}
	if err != nil {
		l.fail(f.key, at, "%v", err)
		return
	}
	l.origins[f.key] = at
}

func (l *loader) setTexts(f field, texts []string, at Origin) {
	for i := range texts {
		texts[i] = l.resolve(f, texts[i], at)
	}
	f.value.Set(reflect.ValueOf(texts))
	l.origins[f.key] = at
}

// resolve makes a path of the file relative to the file, not to wherever the
// program was started. One from the environment or a flag is the caller's.
func (l *loader) resolve(f field, text string, at Origin) string {
	switch {
	case f.isPath() && at.File != "" && !filepath.IsAbs(text):
		return filepath.Join(filepath.Dir(l.file), text)
	case f.kind == "address" && text == "off":
		return ""
	}
	return text
}

func partNamed(v reflect.Value, name string) (reflect.StructField, bool) {
	for i := range v.NumField() {
		if part := v.Type().Field(i); name != "" && part.Tag.Get("yaml") == name {
			return part, true
		}
	}
	return reflect.StructField{}, false
}

func partNames(v reflect.Value) []string {
	var names []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

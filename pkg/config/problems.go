package config

import (
	"fmt"
	"path/filepath"

	"github.com/fenflow/fenflow/pkg/problem"
)

// Origin is where a value came from. The zero value is the default.
type Origin struct {
	File string // YAML file, with Line
	Line int
	Env  string // name of the variable
	Flag bool
}

// String says it in the form that `config show` prints.
func (o Origin) String() string {
	switch {
	case o.Flag:
		return "flag"
	case o.Env != "":
		return "env " + o.Env
	case o.File != "":
		return fmt.Sprintf("%s:%d", filepath.Base(o.File), o.Line)
	}
	return "default"
}

// Problem is one thing that is wrong, or worth knowing, about one key.
type Problem struct {
	Key     string
	Origin  Origin
	Message string
}

// String names place, key and problem.
func (p Problem) String() string {
	text := p.Message
	if p.Key != "" {
		text = p.Key + ": " + text
	}
	if p.Origin != (Origin{}) {
		text = p.Origin.String() + ": " + text
	}
	return text
}

// Problems are all that is wrong with a configuration.
type Problems []Problem

// asError makes one error of all of them, or nil of none.
func (p Problems) asError() error {
	if len(p) == 0 {
		return nil
	}
	fields := make([]problem.Field, len(p))
	for i, one := range p {
		message := one.Message
		if one.Origin != (Origin{}) {
			message = one.Origin.String() + ": " + message
		}
		fields[i] = problem.Field{Field: one.Key, Message: message}
	}
	e := problem.New(problem.Config, count(len(p), "problem"))
	e.Fields = fields
	return e
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

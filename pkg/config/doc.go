// Package config reads the configuration: a YAML file, then FENFLOW_*
// environment variables, then flags.
//
// Its neighbours: merchant holds the types that merchants become and reads
// their key files; boot loads the configuration of a role; cli shows and
// checks it.
//
// It guarantees that all problems are reported at once, each with its file and
// line or its variable; that an unknown key is an error; that a role is given
// only what it may hold, so that the public edge opens no secret file of a
// merchant; that nothing secret is printed; that a reload that fails changes
// nothing.
//
// It leaves to others: connecting to what is configured.
package config

//go:generate go run gen_reference.go ../../docs/reference/configuration.md

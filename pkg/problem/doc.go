// Package problem holds the closed list of what can go wrong, and what each
// kind means everywhere: its stable code, its title, the next step for a
// person, the HTTP status, what becomes of a message, and the exit code.
//
// Its neighbours: every package may import it; it imports the standard
// library only. Surfaces (HTTP, command line, bus) ask it instead of deciding
// by themselves.
//
// It guarantees that a code, once published, keeps its meaning, that the
// table is complete, and that a document for the outside never carries the
// text of an internal error.
//
// It leaves to others: which kind an error is (whoever knows attaches it) and
// writing answers.
package problem

//go:generate go run gen_reference.go ../../docs/reference/errors.md

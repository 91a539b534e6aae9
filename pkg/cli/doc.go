// Package cli is the operator's command line: what waits, orders, refunds,
// anomalies, dead letters, replays, the archive, subscribers, the audit log;
// keys, configuration, migrations, error codes, and what is wrong.
//
// Its neighbours: operatorapi asks the console; config and problem do the rest
// of the work; what talks to the database is injected, so this package holds
// no driver. cmd/fenflow is its doorway.
//
// It guarantees that with --json stdout holds exactly one JSON document (of what
// comes as it happens, one on each line), also on failure, where the last is
// {"error": {code, message, next_step, …}}; that a
// document of the operators' API is printed as it came; that everything else
// goes to stderr; that the exit code is that of the error's kind
// (docs/reference/errors.md lists them); that no secret is printed but one
// that this command has just made; that nothing which a stranger wrote into a
// message reaches a terminal as a control sequence.
//
// It leaves to others: what a migration does, what a setting means, what a
// token may do.
package cli

//go:generate go run gen_reference.go ../../docs/reference/cli.md

// Package cli is the operator's command line: migrations, configuration,
// API keys, error codes.
//
// Its neighbours: config and problem do the work; what talks to the database
// is injected as a Migrator, so this package holds no driver. cmd/fenflow is
// its doorway.
//
// It guarantees that with --json stdout holds exactly one JSON document, also
// on failure, where it is {"error": {code, message, next_step, …}}; that
// everything else goes to stderr; that the exit code is that of the error's
// kind (docs/reference/errors.md lists them); that no secret is printed but
// the API key that `key new` has just made.
//
// It leaves to others: what a migration does, what a setting means.
package cli

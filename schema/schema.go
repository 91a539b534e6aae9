// Package schema holds the shapes that outlive a program: the database's
// migrations (and, beside them, the JSON Schemas of the events).
//
// Its neighbours: store runs the migrations. It guarantees that a program
// carries the migrations it was written for. It leaves running them, and what
// a pending one means, to others.
package schema

import "embed"

// The migrations, in the folder "migrations", named <version>_<what>.sql.
//
//go:embed migrations/*.sql
var migrationsFS embed.FS

// Migrations returns the files of the folder "migrations".
func Migrations() embed.FS { return migrationsFS }

// Package boot is the life of a role around its work: flags, configuration,
// logger, metrics, health, signals, an orderly end, the exit code.
//
// Its neighbours: app/<role> gives it the role's main function; cmd/<role>
// calls that and exits. It imports no driver.
//
// It guarantees that the first SIGTERM or SIGINT ends the role's context and
// the second one ends the program; that a role that does not end within its
// time is given up; that /readyz answers 503 with the names of what fails, and
// also before the first check is there and from the moment the role is asked
// to stop; that what stopped a role is written once and becomes the exit code.
//
// It leaves to others: what a role does, and which checks it has.
package boot

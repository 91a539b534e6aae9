// Package scratch is the one private folder that all our processes of one user
// share below the system's temporary folder, with file locks and port
// reservations in it.
//
// Its neighbours: provision locks installations here; servers keeps cluster
// templates and throw-away data here; testkit takes free addresses from it.
//
// It guarantees that the folder belongs to the current user and that nobody
// else can write in it, that a lock dies with its process, and that two of our
// processes never hold the same port. It leaves to others what lies inside.
package scratch

// Package testkit gives tests real PostgreSQL, NATS and Redis, free addresses
// and a clock that the test sets.
//
// Its neighbours: provision finds or installs the programs, servers starts
// them; the tests of every room above layer 0 use it, and nothing that ships does.
//
// It guarantees that each test has a database, a broker and a Redis of its
// own, that everything ends with the test binary, kill -9 included, and that a
// missing server fails the test: nothing is ever skipped or faked.
//
// It leaves fixtures to the packages that know what they mean. PostgreSQL
// itself is shared by all tests of a binary: a test that stops or kills it
// takes OwnPostgres.
package testkit

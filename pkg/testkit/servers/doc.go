// Package servers starts real PostgreSQL, Redis and NATS on loopback, as a
// library without the testing package, so that tests and devstack start the
// same thing.
//
// Its neighbours: provision says where the programs are; scratch holds
// templates, ports and throw-away data; testkit wraps this for tests; devstack
// keeps its data in folders of its own.
//
// It guarantees durable settings unless the caller overrides them (PostgreSQL
// fsync, full_page_writes, synchronous_commit; NATS fsync per message; Redis
// append-only file), 127.0.0.1 only, the same address after a restart, and
// that no process outlives this one, kill -9 included. On systems other than
// Linux the last holds as long as a shell can watch.
//
// It leaves installing to provision, databases' contents to the caller, and
// the end of a server's life to the caller's Close: NATS lives inside this
// process and cannot be killed alone.
package servers

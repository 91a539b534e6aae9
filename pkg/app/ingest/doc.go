// Package ingest turns a configuration into a running edge.
//
// Its job: open the listeners, connect to the broker once for each of them
// (each has a user of its own there), follow configuration, platform keys and
// durability verdict, and put everything down in order.
//
// Its neighbours: cmd/ingest and devstack start it through boot; packages
// ingest and front do the work; bus and config are wired to it here.
//
// What it guarantees: requests under way are answered before it ends; no
// connection can stay open for ever, send for ever, or be one too many; a
// broken key file takes no key out of use.
//
// What it leaves to others: load balancing, and TLS where a proxy does it.
//
// The front door (listen.front) opens only where front.session_public_key_files
// is set. Its pages' origins, return addresses, verify files and session keys
// follow the configuration; its own address does not.
//
// A process that serves only one of the listeners (the other is "off") still
// connects as user notify: the durability verdict is read there.
package ingest

// Package ingest turns a configuration into a running edge.
//
// Its job: open the listeners, connect to the broker once for each of them
// (each has a user of its own there), follow configuration, platform keys and
// durability verdict, and put everything down in order.
//
// Its neighbours: cmd/ingest and devstack start it through boot; package
// ingest does the work; bus and config are wired to it here.
//
// What it guarantees: requests under way are answered before it ends; no
// connection can stay open for ever, send for ever, or be one too many; a
// broken key file takes no key out of use.
//
// What it leaves to others: load balancing, and TLS where a proxy does it. The
// front door (listen.front) has no pages in this version and is not opened.
//
// A process that serves only one of the listeners (the other is "off") still
// connects as user notify: the durability verdict is read there.
package ingest

// Package reconciler composes the reconciler: the role that asks WeChat Pay
// about what stays unresolved, closes what ran out, and sends refunds.
//
// Its job: open the database, keep merchants and keys up to date, and have
// orders and refunds swept each second. Its neighbours: reconcile is the use
// case, store the database, queue says when to sweep; a ticker of its own says
// so whenever nobody else has for two seconds.
//
// It guarantees that Redis is a convenience: away, wiped or never configured,
// it costs at most two seconds. A database that is away is waited for, and so is
// one that no worker vouches for: books that were restored are not moved before
// they are recovered. It holds
// no connection to NATS: events of its commits lie in the outbox, and a worker
// publishes them.
//
// It leaves to others: fetching platform certificates (the worker, which keeps
// them in the database), publishing events, and every decision about an order
// or a refund.
package reconciler

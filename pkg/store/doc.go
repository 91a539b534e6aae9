// Package store keeps the truth in PostgreSQL: orders, payments, refunds,
// anomalies, history, the outbox, the archive of deliveries, and dead letters;
// and the schedule: what is due, under which budget, and who holds it. Operators'
// tokens, the audit log and subscribers are here, too, and what operators look up;
// so are buyers: accounts, logins under way, and WeChat's tokens, sealed.
//
// Its neighbours: pay decides (store calls pay.Book under row locks and writes
// down what it says), settle, command and reconcile call in, outbox, deadletter
// and reconcile claim rows that are due, operator reads and acts. It is the only
// package that sees sqlx, lib/pq and goose.
//
// It guarantees that a change of an order, its history and its events are
// written by one statement and become visible in one commit, and with them the
// refunds and sums that the change is about; that settling the same entries
// again, at the same time or later, changes nothing; that an entry whose commit
// succeeded has its effect or its letter on disk; that an openid and a unionid have one account
// each, however many log in at once; and that an error says whether repeating helps
// (Retryable) or a row is broken. Rows are locked in one order everywhere: orders,
// payments, refunds, each by key; and apart from them accounts, then identities.
//
// It leaves to others: verifying and decrypting, publishing, splitting a batch
// that holds a broken row, and deciding when to repeat.
package store

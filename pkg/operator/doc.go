// Package operator is the operators' HTTP API: what happened to an order, by any
// number that appears anywhere; what could not be settled; what waits, and for
// how long; who did what; and what operators decide and do about it.
//
// Its neighbours: schema/openapi.yaml is the source of truth of what it takes and
// answers; the books (package store) are read and changed through the small
// interfaces beside each handler; a worker is asked, or handed a command, for what
// takes a merchant's key, the broker, or a move of money (package bus carries
// both); app/console serves it; operatorapi is its client.
//
// It guarantees that nothing is answered without a live token; that a token of
// role read changes nothing; that every act names its token to the books, which
// keep who did it in the same commit; that no token is logged or kept, only its
// SHA-256; that guessing tokens is slow; that a query parameter it does not know
// is refused and never ignored, because a filter with a misspelt name shows
// everything.
//
// It leaves to others: TLS (a proxy in front), what an act means for the books,
// and how a person sees the answers.
package operator

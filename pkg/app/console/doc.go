// Package console composes the console: the role that serves operators.
//
// Its job: open the database, join the broker where one is configured, and serve
// the operators' API at listen.console. Its neighbours: operator is the API, store
// the books, bus the way to a worker. `fenflow console` runs it.
//
// It guarantees that it holds no secret of a merchant and no connection to WeChat
// Pay; that it declines to run on a schema older than itself; that a database
// that is away is waited for at the start, and answered 503 for later.
//
// It leaves to others: TLS (a proxy in front, where the address leaves this host),
// and everything that moves money.
package console

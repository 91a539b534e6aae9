// Package reconciler composes the reconciler: the role that asks WeChat Pay
// about orders and refunds that stay unresolved.
//
// Its job today is small: it starts, connects to the database and the bus, and
// is healthy while both are there. It schedules nothing yet, and says so.
package reconciler

// Package deadletter looks after the letters that may come right by
// themselves.
//
// Its job: a payment whose order is not known yet, and a refund notice whose
// payment is not, wait as letters; the sweep settles the same bytes again, and
// what has waited too long is opened for an operator. Its neighbours: settle does
// the settling and says when an awaited payment was booked, store holds the
// letters, command says when an order has appeared.
//
// It guarantees that a waiting letter is tried until it is resolved or open,
// and that trying it again changes the books only as the original delivery
// would have: the bytes, the headers and the delivery id are the same.
//
// A replay is no more than that: an operator lets an open letter wait again, due
// at once, and what fails again opens again.
//
// It leaves to others: writing letters and resolving them (both happen in the
// commit of settle), and open letters, which are an operator's.
package deadletter

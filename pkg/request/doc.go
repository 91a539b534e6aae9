// Package request reads what people who move money ask for: the bodies of orders,
// refunds and wishes, from the business API and from the operators' alike.
//
// Its job: take one JSON object strictly, hold each field against its rule, and
// say what the request means: the digest that tells it from any other, and the
// command's body for the worker.
//
// Its neighbours: ingest, which has shops as callers, and operator, which has
// people; package command carries out what they hand on, and checks it once more.
//
// It guarantees that a request means one thing or is refused: no name twice, no
// name it does not know, no fraction of a fen; that everything wrong with it is
// told at once; that a secret field is never repeated; and that the same number
// with the same content has the same digest, whoever asks.
//
// It leaves to others: who may ask, and whether the books allow it.
//
// # The body of refund.create
//
// Exactly the fields that were sent. There is no deadline.
//
//	out_refund_no  string   1–64 of 0-9 A-Z a-z _ - | * @; never auto-…
//	out_trade_no   string   absent when not given
//	transaction_id string   1–32 letters and digits; absent when not given.
//	                        At least one of the two is there
//	amount_fen     integer  > 0
//	reason         string   1–80 characters, shown to the buyer; absent when not given
//	operator       object   {"actor","reason"} of the person who asks, for the audit
//	                        log; absent for a shop, and no part of the digest
//
// # The body of order.close
//
// {}, or {"operator": {"actor","reason"}}: the number is the command's.
//
// # The body of refund.give_up
//
// {"out_refund_no", "operator": {"actor","reason"}}. There is no deadline: what is
// asked before anything is given up is asked when the command is carried out.
package request

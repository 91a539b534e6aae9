// Package pay holds the nouns and the rules of taking a payment: merchants'
// numbers, money, orders, payments, anomalies, events, and the one function
// that decides what an observation means for an order.
//
// Its neighbours: wechatpay turns bytes into observations, store keeps what
// is decided here, settle joins the two. None of them is imported.
//
// It guarantees that an order moves along its transition table and no other
// way, that a paid order never goes back, and that the same observations in
// any order, any number of times, end in the same books.
//
// It leaves to others: where rows live, how bytes are verified, who is told.
package pay

//go:generate go test -count=1 -run TestDiagrams_in_the_docs_are_the_tables . -update

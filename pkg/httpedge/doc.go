// Package httpedge is what the HTTP edge does alike on each of its listeners.
//
// Its job: read bodies within bounds, write problems and a worker's answers,
// remember what one line of the log says about a request, and outlive a panic.
//
// Its neighbours: packages ingest (notifications, business API) and front (the
// front door) are built of it; problem and request say what is an error.
//
// What it guarantees: a body is read whole or refused; an error without a kind
// shows its code and nothing else; a panic's value is in no answer and no log.
//
// What it leaves to others: routes, who may ask, metrics, and time-outs.
package httpedge

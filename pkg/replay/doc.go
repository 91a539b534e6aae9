// Package replay settles again what is kept: dead letters and archived
// notifications, from their own bytes.
//
// Its job, at an operator's word: rehearse (what would change, and nothing does),
// settle as it was seen (or not at all), and put notifications on the replay lane.
// Its neighbours: operator asks over the bus; store has the bytes; settle reads,
// rehearses and settles them; bus has the lane; cli shows what came of it.
//
// It guarantees that a rehearsal changes nothing and publishes nothing; that what a
// person discarded, what is no notification, and what may end the worker that reads
// it are never settled this way; that who asked for a replay, and why, is written
// down no later than its effect; and that it works beside settlement, not in its way.
//
// It leaves to others: what a message means (settle, pay), letters that are tried
// again by themselves (deadletter), the lane's speed (app/worker), which messages
// and in which portions (cli).
package replay

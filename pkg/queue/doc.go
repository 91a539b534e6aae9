// Package queue is fenflow's side of asynq: a timer that says each second that
// it is time to sweep, and a bell that wakes a reconciler for one number.
//
// Its neighbours: the worker rings through a [Client]; the reconciler gives
// [Run] the handler that claims and does what is due; store holds what is due.
// asynq and its Redis client are seen by nobody else.
//
// It guarantees nothing but effort, on purpose: a task carries a kind and a
// number, and a task that is lost, doubled, archived or stuck changes nothing,
// because the next sweep finds the same row in the database. What it does see
// to is that no task stays in the way of the ones after it:
//
//   - Doubles are kept out by asynq's Unique lock, which runs out after ten
//     seconds whatever becomes of its task. A fixed TaskID would lock for ever
//     where a task is left active without a lease (hibiken/asynq#1051) or
//     archived, and one with the time in it cannot be given to a
//     PeriodicTaskManager, whose options are fixed when a task is registered.
//   - A handler's error or panic is logged here and never reaches asynq, which
//     would archive the task.
//   - A tidy round removes every ten seconds what asynq archived itself and
//     what it forgot, and runs none of it again.
//   - Redis may be away when Run starts, may go and come back, and may lose
//     everything at any moment: Run stays and goes on.
//
// It leaves to others what a task means, and to sweep when Redis is away: the
// reconciler's own ticker does that.
package queue

package queue

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Kind says what a task asks for.
type Kind string

// The kinds.
const (
	SweepOrders  Kind = "sweep.orders"  // look for orders that are due
	SweepRefunds Kind = "sweep.refunds" // look for refunds that are due
	Upkeep       Kind = "upkeep"        // look into the calendar: which jobs are due stands in job_runs
	QueryOrder   Kind = "order.query"   // ask about one order now
	SubmitRefund Kind = "refund.submit" // send one refund now
)

// Task is a kind and, for wake-ups, a number; it never carries more. Whoever
// takes it reads the rest from the database.
type Task struct {
	Kind   Kind
	MchID  pay.MchID
	Number string // out_trade_no or out_refund_no
}

// Limits of every task.
const (
	// queueName keeps our keys in Redis apart from those of other programs.
	queueName = "fenflow"
	// taskTimeout is when asynq gives a task up, and archives it.
	taskTimeout = 25 * time.Second
	// handlerTimeout ends a handler's context before that, so that it can
	// still return in order.
	handlerTimeout = taskTimeout - time.Second
	// lockTime is the longest that one task keeps out another of its kind and
	// number. It also bounds how many of them pile up when each hangs: three.
	lockTime = 10 * time.Second
)

// isPeriodic: such a task comes from the calendar and has no number.
func (k Kind) isPeriodic() bool {
	return k == SweepOrders || k == SweepRefunds || k == Upkeep
}

func (k Kind) isKnown() bool {
	return k.isPeriodic() || k == QueryOrder || k == SubmitRefund
}

func (t Task) check() error {
	switch {
	case !t.Kind.isKnown():
		return fmt.Errorf("task kind %q is not known to this version", t.Kind)
	case t.Kind.isPeriodic() && (t.MchID != "" || t.Number != ""):
		return fmt.Errorf("a task of kind %s takes no merchant and no number", t.Kind)
	case !t.Kind.isPeriodic() && (t.MchID == "" || t.Number == ""):
		return fmt.Errorf("a task of kind %s needs a merchant and a number", t.Kind)
	}
	return nil
}

// payload is a task as Redis holds it; the kind is asynq's type.
type payload struct {
	MchID  pay.MchID `json:"mchid,omitempty"`
	Number string    `json:"number,omitempty"`
}

func pack(t Task) (*asynq.Task, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(payload{MchID: t.MchID, Number: t.Number})
	if err != nil {
		return nil, fmt.Errorf("encode task: %w", err)
	}
	return asynq.NewTask(string(t.Kind), body,
		asynq.Queue(queueName),
		asynq.Unique(lockTime),
		// Whatever is still due is found by the next sweep; a retry of asynq's
		// would come later than that.
		asynq.MaxRetry(0),
		asynq.Timeout(taskTimeout),
	), nil
}

func unpack(t *asynq.Task) (Task, error) {
	var body payload
	if err := json.Unmarshal(t.Payload(), &body); err != nil {
		return Task{}, fmt.Errorf("decode task: %w", err)
	}
	task := Task{Kind: Kind(t.Type()), MchID: body.MchID, Number: body.Number}
	return task, task.check()
}

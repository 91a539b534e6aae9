package command

import (
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	// maxActor is far beyond "token:" and a token's name.
	maxActor = 128
	// maxReason is in bytes: 500 characters, as the operators' API takes them.
	maxReason = 2000
)

// operator is the person who handed a command in, as package request writes it;
// nil: a shop did.
type operator struct {
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

// act is what the audit log is told: the same however often the command is
// carried out.
func (o *operator) act(cmd pay.Command) *pay.Act {
	if o == nil {
		return nil
	}
	return &pay.Act{ID: string(cmd.ID), Actor: o.Actor, Reason: o.Reason}
}

func (o *operator) check(bad func(field, format string, args ...any)) {
	if o == nil {
		return
	}
	if o.Actor == "" || len(o.Actor) > maxActor || !storable(o.Actor) {
		bad("operator.actor", "must name who asks, in at most %d bytes", maxActor)
	}
	if o.Reason == "" || len(o.Reason) > maxReason || !storable(o.Reason) {
		bad("operator.reason", "must say why, in at most %d bytes of UTF-8 without NUL", maxReason)
	}
}

// asker says who wants a refund, for its row and its history.
func (o *operator) asker() (pay.Source, pay.RefundOrigin) {
	if o == nil {
		return pay.SourceCommand, pay.RefundByCommand
	}
	return pay.SourceOperator, pay.RefundByOperator
}

// closing reads who wants an order closed.
func closing(cmd pay.Command) (*operator, *problem.Error) {
	var r struct {
		Operator *operator `json:"operator"`
	}
	if bad := decode(cmd, &r); bad != nil {
		return nil, bad
	}
	var fields []problem.Field
	r.Operator.check(func(field, format string, args ...any) {
		fields = append(fields, problem.Field{Field: field, Message: fmt.Sprintf(format, args...)})
	})
	if len(fields) > 0 {
		return nil, problem.InvalidFields(fields...)
	}
	return r.Operator, nil
}

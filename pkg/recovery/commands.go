package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// takeCommand recovers a command other than order.create behind all that was
// told before it.
func (p *page) takeCommand(ctx context.Context, key pay.OrderKey, w *word, floors map[pay.MchID]uint64) error {
	c := w.command
	if c.Spoilt != "" {
		p.trouble(pay.OrderKey{MchID: c.MchID}, "", fmt.Sprintf("message %d of COMMAND is no command: %s", c.Sequence, c.Spoilt))
		return nil
	}
	// Whether all of it is there is for the command to find out: what it needs
	// is in the books, or it is told of.
	if _, err := p.mend(ctx, key, p.story(key).beforeEffect(w)); err != nil {
		return err
	}
	if err := p.recover(ctx, key, *c, floors); err != nil {
		return err
	}
	if c.Kind == pay.CommandRefundCreate && key.OutTradeNo != "" {
		if _, err := p.Letters.Retry(ctx, key.MchID, key.OutTradeNo); err != nil {
			return fmt.Errorf("retry letters: %w", err)
		}
	}
	return p.look(ctx, key)
}

// orderOfWord is the order that a word is about.
func (p *page) orderOfWord(ctx context.Context, w *word) (pay.OrderKey, error) {
	if w.command != nil && w.command.Spoilt == "" {
		return p.orderOfCommand(ctx, w.command)
	}
	key, _ := p.orderNamed(w)
	return key, nil
}

// beforeCommand gives what came about before a command had its effect. That an
// order was closed is what a wish to close it led to, whoever closed it; and that a
// refund failed, what any command about it but the one that asked for it led to.
func (s story) beforeCommand(c *pay.StoredCommand, at time.Time) story {
	switch c.Kind {
	case pay.CommandRefundCreate:
		return s.before(at, func(f fact) bool { return f.Fact == pay.FactRefundRequested && f.refund() == c.OutRefundNo })
	case pay.CommandOrderClose:
		for i, f := range s {
			if f.Fact == pay.FactOrderClosed {
				return s[:i+1]
			}
		}
	default:
		for i, f := range s {
			if c.OutRefundNo != "" && f.Fact == pay.FactRefundFailed && f.refund() == c.OutRefundNo {
				return s[:i+1]
			}
		}
	}
	return s.before(at, func(fact) bool { return false })
}

// orderOfCommand is the order that a command is about. A refund may name its
// payment only.
func (p *page) orderOfCommand(ctx context.Context, c *pay.StoredCommand) (pay.OrderKey, error) {
	key := pay.OrderKey{MchID: c.MchID, OutTradeNo: c.OutTradeNo}
	transaction := namedPayment(c.Body)
	if key.OutTradeNo != "" || transaction == "" {
		return key, nil
	}
	payment, found, err := p.Books.Payment(ctx, c.MchID, transaction)
	if err != nil {
		return key, fmt.Errorf("look up payment: %w", err)
	}
	if found {
		key.OutTradeNo = payment.OutTradeNo
		return key, nil
	}
	// A payment that no notification told of: the refund itself was told of.
	if key.OutTradeNo, err = p.Books.ToldOfRefund(ctx, c.MchID, c.OutRefundNo, p.run.Since); err != nil {
		return key, fmt.Errorf("look for a refund that was told of: %w", err)
	}
	return key, nil
}

// namedPayment is the payment that the body of a refund.create names. A body that
// does not parse names none, and is refused by whoever carries the command out.
func namedPayment(body []byte) pay.TransactionID {
	var named struct {
		TransactionID pay.TransactionID `json:"transaction_id"`
	}
	if json.Unmarshal(body, &named) != nil {
		return ""
	}
	return named.TransactionID
}

// recover recovers one command, and leaves to the live consumer what that has not
// acknowledged: it is handed out as ever. Of those, some may have been acknowledged
// out of turn; a refund that was told of is granted in any case. It may run beside
// others of its kind.
func (p *page) recover(ctx context.Context, key pay.OrderKey, c pay.StoredCommand, floors map[pay.MchID]uint64) error {
	recovered := p.story(key).recovered(c.Command)
	if c.Sequence > floors[c.MchID] && (c.Kind != pay.CommandRefundCreate || recovered.ToldAt.IsZero()) {
		p.note(func(r *pay.Recovery) { r.Counts.CommandsLeft++ })
		return nil
	}
	done, err := p.Commands.Recover(ctx, recovered)
	if err != nil {
		return fmt.Errorf("%s %s: %w", c.Kind, c.ID, err)
	}
	p.note(func(r *pay.Recovery) {
		r.Counts.Asked += done.Asked
		if done.Known {
			r.Counts.CommandsKnown++
		} else {
			r.Counts.Commands++
		}
		if done.Trouble != "" {
			r.Trouble(pay.RecoveryProblem{MchID: c.MchID, OutTradeNo: c.OutTradeNo, OutRefundNo: c.OutRefundNo, CommandID: c.ID, Detail: done.Trouble})
		}
	})
	return nil
}

// recovered is a command with what subscribers were told of its number.
func (s story) recovered(c pay.Command) pay.RecoveredCommand {
	kind := pay.FactOrderCreated
	switch {
	case c.Kind == pay.CommandRefundCreate:
		kind = pay.FactRefundRequested
	case c.OutRefundNo != "":
		kind = pay.FactRefundFailed
	}
	told, _ := s.find(kind, c.OutRefundNo)
	r := pay.RecoveredCommand{Command: c, ToldAt: told.CreatedAt}
	if told.order.Refund != nil {
		r.ToldTransaction, r.ToldAmount = told.transaction(), pay.Fen(told.order.Refund.AmountFen)
	}
	return r
}

package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// takeCommand recovers a command other than order.create behind all that was
// told before it.
func (p *page) takeCommand(ctx context.Context, w *word, floors map[pay.MchID]uint64) error {
	c := w.command
	if c.Spoilt != "" {
		p.trouble(pay.OrderKey{MchID: c.MchID}, "", fmt.Sprintf("message %d of COMMAND is no command: %s", c.Sequence, c.Spoilt))
		return nil
	}
	key, err := p.orderOfCommand(ctx, c)
	if err != nil {
		return err
	}
	if err := p.know(ctx, key); err != nil {
		return err
	}
	// Whether all of it is there is for the command to find out: what it needs
	// is in the books, or it is told of.
	if _, err := p.mend(ctx, key, p.stories[key].beforeCommand(c, w.at)); err != nil {
		return err
	}
	var mu sync.Mutex
	if err := p.recover(ctx, key, *c, floors, &mu); err != nil {
		return err
	}
	if err := p.look(ctx, key); err != nil {
		return err
	}
	if c.Kind == pay.CommandRefundCreate && key.OutTradeNo != "" {
		if _, err := p.Letters.Retry(ctx, key.MchID, key.OutTradeNo); err != nil {
			return fmt.Errorf("retry letters: %w", err)
		}
		return p.look(ctx, key)
	}
	return nil
}

// beforeCommand gives what came about before a command had its effect. That an
// order was closed is what a wish to close it led to, whoever closed it.
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
	}
	return s.before(at, func(fact) bool { return false })
}

// orderOfCommand is the order that a command is about. A refund may name its
// payment only.
func (p *page) orderOfCommand(ctx context.Context, c *pay.StoredCommand) (pay.OrderKey, error) {
	key := pay.OrderKey{MchID: c.MchID, OutTradeNo: c.OutTradeNo}
	var body struct {
		TransactionID pay.TransactionID `json:"transaction_id"`
	}
	if key.OutTradeNo != "" || json.Unmarshal(c.Body, &body) != nil || body.TransactionID == "" {
		return key, nil
	}
	payment, found, err := p.Books.Payment(ctx, c.MchID, body.TransactionID)
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

// recover recovers one command, and leaves to the live consumer what that has not
// acknowledged: it is handed out as ever. Of those, some may have been acknowledged
// out of turn; a refund that was told of is granted in any case. It may run beside
// others of its kind.
func (p *page) recover(ctx context.Context, key pay.OrderKey, c pay.StoredCommand, floors map[pay.MchID]uint64, mu *sync.Mutex) error {
	recovered := p.stories[key].recovered(c.Command)
	counts := &p.run.Counts
	if c.Sequence > floors[c.MchID] && (c.Kind != pay.CommandRefundCreate || recovered.ToldAt.IsZero()) {
		mu.Lock()
		defer mu.Unlock()
		counts.CommandsLeft++
		return nil
	}
	done, err := p.Commands.Recover(ctx, recovered)
	if err != nil {
		return fmt.Errorf("%s %s: %w", c.Kind, c.ID, err)
	}
	mu.Lock()
	defer mu.Unlock()
	counts.Asked += done.Asked
	switch {
	case done.Known:
		counts.CommandsKnown++
	default:
		counts.Commands++
	}
	if done.Trouble != "" {
		p.run.Trouble(pay.RecoveryProblem{MchID: c.MchID, OutTradeNo: c.OutTradeNo, OutRefundNo: c.OutRefundNo, CommandID: c.ID, Detail: done.Trouble})
	}
	return nil
}

// recovered is a command with what subscribers were told of its number.
func (s story) recovered(c pay.Command) pay.RecoveredCommand {
	kind := pay.FactOrderCreated
	if c.Kind == pay.CommandRefundCreate {
		kind = pay.FactRefundRequested
	}
	told, _ := s.find(kind, c.OutRefundNo)
	r := pay.RecoveredCommand{Command: c, ToldAt: told.CreatedAt}
	if told.order.Refund != nil {
		r.ToldTransaction, r.ToldAmount = told.transaction(), pay.Fen(told.order.Refund.AmountFen)
	}
	return r
}

package replay

import (
	"context"
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// expectation is one order as the operator saw it; sequence 0: there was none.
type expectation struct {
	MchID      pay.MchID      `json:"mchid"`
	OutTradeNo pay.OutTradeNo `json:"out_trade_no"`
	Sequence   int64          `json:"sequence"`
}

// Replay answers {"delivery_ids", "orders", "actor", "reason"} of one chunk: its
// messages are settled in one commit, if every order is as it was seen.
func (s *Service) Replay(ctx context.Context, question []byte) ([]byte, error) {
	return s.answer(ctx, "replay", func(ctx context.Context) (any, error) {
		var q struct {
			DeliveryIDs []pay.DeliveryID `json:"delivery_ids"`
			Orders      []expectation    `json:"orders"`
			Actor       string           `json:"actor"`
			Reason      string           `json:"reason"`
		}
		if err := read(question, &q); err != nil {
			return nil, err
		}
		act := pay.ReplayAct{Actor: q.Actor, Reason: q.Reason, Orders: map[pay.OrderKey]int64{}}
		for _, o := range q.Orders {
			act.Orders[pay.OrderKey{MchID: o.MchID, OutTradeNo: o.OutTradeNo}] = o.Sequence
		}
		effects, err := s.replay(ctx, q.DeliveryIDs, act)
		if err != nil {
			return nil, err
		}
		return rehearsalOf(effects), nil
	})
}

func (s *Service) replay(ctx context.Context, ids []pay.DeliveryID, act pay.ReplayAct) ([]pay.Effect, error) {
	stored, err := s.find(ctx, ids, maxChunk)
	if err != nil {
		return nil, err
	}
	arrivals := make([]wechatpay.Arrival, len(stored))
	for i, one := range stored {
		switch why := refusal(one); {
		case one.LetterState == pay.LetterDiscarded:
			return nil, problem.Newf(problem.LetterSettled, "%s is discarded", one.Delivery.ID)
		case why != "":
			return nil, problem.Newf(problem.NotReplayable, "%s: %s", one.Delivery.ID, why)
		}
		arrivals[i] = arrivalOf(one.Delivery)
	}
	effects, err := s.Settler.SettleExpected(ctx, arrivals, act)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return effects, nil
}

package worker

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/keycheck"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/reverify"
	"github.com/fenflow/fenflow/pkg/store"
)

// Asked finds a merchant's way to WeChat Pay, for checks of its keys.
func (m *merchants) Asked(mchid pay.MchID) (keycheck.WeChat, bool) {
	client := m.find(mchid).client
	return client, client != nil
}

// wireKeys makes what answers operators about keys, and about what was turned
// away. It reads through the pool of commands, not to hold up settlement.
func (w *worker) wireKeys() {
	log := w.env.Logger
	w.keycheck = keycheck.New(keycheck.Options{
		Archive: w.parts.commands, Samples: w.parts.bus, Budgets: w.parts.commands, Merchants: w.merchants,
		OrderQuery: w.env.Config.Budgets.OrderQuery, Retryable: store.Retryable, Now: time.Now, Nonce: rand.Text, Log: log,
	})
	w.reverify = reverify.New(reverify.Options{
		Samples: w.parts.bus, Merchants: w.merchants, Keys: w.keys, Lane: w.parts.bus, Audit: w.parts.commands,
		Retryable: store.Retryable, NewID: newDeliveryID, Log: log,
	})
}

func newDeliveryID() (pay.DeliveryID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make a delivery id: %w", err)
	}
	return pay.DeliveryID(id.String()), nil
}

// answerKeys serves operators. Keys are told of once those of earlier days are
// loaded: before that a check would miss some.
func (w *worker) answerKeys(begin func(string, func(context.Context) error)) {
	begin("answer lists of keys", w.afterLoading(w.serve(bus.RequestOperateKeys, w.keycheck.AnswerKeys)))
	begin("answer checks of keys", w.afterLoading(w.serve(bus.RequestOperateMerchant, w.keycheck.AnswerCheck)))
	begin("answer reads of samples", w.serve(bus.RequestOperateRejected, w.reverify.AnswerSamples))
	begin("verify samples again", w.afterLoading(w.serve(bus.RequestOperateReverify, w.reverify.AnswerReverify)))
	begin("publish samples", w.afterProof(w.serve(bus.RequestOperatePublish, w.reverify.AnswerPublish)))
}

// afterLoading holds a part back until the certificates of earlier days are
// loaded.
func (w *worker) afterLoading(part func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-w.merchants.ready:
			return part(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

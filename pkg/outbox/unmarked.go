package outbox

import "github.com/fenflow/fenflow/pkg/pay"

// recall parts a batch into receipts that we hold and events without one.
func (r *Relay) recall(batch []pay.Outgoing) (receipts []pay.Publication, unsent []pay.Outgoing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unmarked) == 0 {
		return nil, batch
	}
	for _, e := range batch {
		if receipt, held := r.unmarked[e.EventID]; held {
			receipts = append(receipts, receipt)
			continue
		}
		unsent = append(unsent, e)
	}
	return receipts, unsent
}

// remember keeps receipts until their rows can be marked. A full memory is
// emptied: it then holds what another worker has marked long ago, and the
// broker's window and the event ids remain.
func (r *Relay) remember(receipts []pay.Publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unmarked)+len(receipts) > maxUnmarked {
		clear(r.unmarked)
	}
	for _, receipt := range receipts {
		r.unmarked[receipt.EventID] = receipt
	}
}

func (r *Relay) forget(receipts []pay.Publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, receipt := range receipts {
		delete(r.unmarked, receipt.EventID)
	}
}

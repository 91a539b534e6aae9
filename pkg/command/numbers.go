package command

import (
	"context"
	"fmt"
	"sync"

	"github.com/fenflow/fenflow/pkg/pay"
)

// numbers is a lock for each order number in use. It spares twins a second
// call; the database decides between twins in different workers.
type numbers struct {
	mu   sync.Mutex
	held map[number]*turn
}

type number struct {
	mchid pay.MchID
	no    pay.OutTradeNo
}

type turn struct {
	token chan struct{} // holds one token: whoever takes it has the turn
	users int
}

func (n *numbers) lock(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (unlock func(), err error) {
	key := number{mchid, no}
	t := n.join(key)
	select {
	case <-t.token:
		return func() { t.token <- struct{}{}; n.leave(key) }, nil
	case <-ctx.Done():
		n.leave(key)
		return nil, fmt.Errorf("wait for the number's turn: %w", ctx.Err())
	}
}

func (n *numbers) join(key number) *turn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held == nil {
		n.held = map[number]*turn{}
	}
	t := n.held[key]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		n.held[key] = t
	}
	t.users++
	return t
}

func (n *numbers) leave(key number) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.held[key]
	if t.users--; t.users == 0 {
		delete(n.held, key)
	}
}

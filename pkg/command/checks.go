package command

import (
	"sync"

	"github.com/fenflow/fenflow/pkg/pay"
)

// checksOfMerchant bounds one merchant's checks under way, so that its
// time-outs leave places to the others.
const checksOfMerchant = 16

// checks are the questions of pages that are under way.
type checks struct {
	turns numbers // one question at a time for each order

	mu    sync.Mutex
	inUse map[pay.MchID]int
}

// enter takes one of a merchant's places, if there is one left.
func (c *checks) enter(mchid pay.MchID, places int) (leave func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inUse == nil {
		c.inUse = map[pay.MchID]int{}
	}
	if c.inUse[mchid] >= places {
		return nil, false
	}
	c.inUse[mchid]++
	return func() { c.leave(mchid) }, true
}

func (c *checks) leave(mchid pay.MchID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inUse[mchid]--; c.inUse[mchid] == 0 {
		delete(c.inUse, mchid)
	}
}

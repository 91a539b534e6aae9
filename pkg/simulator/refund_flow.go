package simulator

import (
	"errors"
	"fmt"
	"time"
)

// refund accepts what an API or the console asks for and starts its progress. The
// answer says what is known now: PROCESSING, unless it was accepted before.
func (s *Simulator) refund(a refundAsk) (Refund, error) {
	if err := s.misfortune(&a); err != nil {
		return Refund{}, err
	}
	now := s.now()
	id, err := s.random.refundID(now)
	if err != nil {
		return Refund{}, err
	}
	r, fresh, err := s.books.refund(a, id, now)
	if err != nil {
		return Refund{}, fmt.Errorf("enter refund: %w", err)
	}
	if fresh {
		s.log.Debug("refund accepted", "out_refund_no", r.OutRefundNo, "out_trade_no", r.OutTradeNo, "origin", r.Origin)
		s.progress(r)
	}
	return r, nil
}

// misfortune decides how a new refund is going to end, and whether there is money.
func (s *Simulator) misfortune(a *refundAsk) error {
	a.Next = RefundSuccess
	if _, again := s.books.knownRefund(a.OutRefundNo); again {
		return nil
	}
	order := a.OutTradeNo
	if paid, known := s.books.transaction(a.TransactionID); known {
		order = paid.OutTradeNo
	}
	if s.fault(FaultNotEnough, order) {
		return errRefundNoFunds
	}
	if stuck, fires := s.faultOf(FaultRefundStuck, order); fires {
		if a.Next, a.Held = RefundAbnormal, stuck.delay(); a.Held == 0 {
			a.Next = ""
		}
		return nil
	}
	if slow, fires := s.faultOf(FaultRefundSlow, order); fires {
		a.Held = slow.delayOr(slowRefund)
	}
	switch {
	case s.fault(FaultRefundAbnormal, order):
		a.Next = RefundAbnormal
	case s.fault(FaultRefundClosed, order):
		a.Next = RefundClosed
	}
	return nil
}

// progress ends PROCESSING after its time, counted from when it began: a restart
// makes nobody wait anew.
func (s *Simulator) progress(r Refund) {
	if r.Status != RefundProcessing || r.Next == "" {
		return
	}
	wait := r.Held
	if wait == 0 {
		wait = s.shortened(refundProgress)
	}
	s.post.later(wait-s.now().Sub(r.ChangedAt), func() { s.finish(r) })
}

// shortened is a wait as Speed makes it.
func (s *Simulator) shortened(d time.Duration) time.Duration {
	return time.Duration(float64(d) / s.speed)
}

// finish turns a refund into what was planned, unless /control was faster.
func (s *Simulator) finish(r Refund) {
	_, err := s.turn(r.OutRefundNo, refundNotice{}, func(now Refund) (refundTurn, error) {
		if now.Turns != r.Turns {
			return refundTurn{}, errRefundTurn
		}
		return refundTurn{Status: r.Next}, nil
	})
	if err != nil && !errors.Is(err, errRefundTurn) && !errors.Is(err, errClosed) {
		s.log.Error("progress of a refund failed", "out_refund_no", r.OutRefundNo, "error", err)
	}
}

// turn changes a refund's status, enters its notices in the same step, and starts
// what follows: their delivery, or the progress of a refund that is on its way again.
func (s *Simulator) turn(outRefundNo string, n refundNotice, next func(Refund) (refundTurn, error)) (Refund, error) {
	at := s.now().UTC()
	dated := func(r Refund) (refundTurn, error) {
		t, err := next(r)
		t.At = at
		return t, err
	}
	r, notices, err := s.books.turn(outRefundNo, dated, func(r Refund, o Order) ([]Notice, error) {
		return s.refundNotices(n, r, o, at)
	})
	if err != nil {
		return r, fmt.Errorf("turn refund: %w", err)
	}
	s.log.Debug("refund turned", "out_refund_no", r.OutRefundNo, "out_trade_no", r.OutTradeNo, "status", r.Status)
	s.post.dispatch(notices)
	s.progress(r)
	return r, nil
}

// resumeRefunds takes up what an earlier process left in PROCESSING.
func (s *Simulator) resumeRefunds() {
	for _, r := range s.Ledger().Refunds {
		s.progress(r)
	}
}

// later runs work after a wait, unless the office closes before.
func (p *postOffice) later(d time.Duration, work func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.running.Go(func() {
		if p.wait(max(d, 0)) {
			work()
		}
	})
}

// Refund returns one refund.
func (s *Simulator) Refund(outRefundNo string) (Refund, bool) {
	return s.books.knownRefund(outRefundNo)
}

// Refunds are those of one order, oldest first.
func (s *Simulator) Refunds(outTradeNo string) []Refund { return s.books.refundsOf(outTradeNo) }

// SetFunds limits what the merchant's account can refund; nil makes it endless, as
// it is at first. It ends the fault not_enough.
func (s *Simulator) SetFunds(fen *int64) error {
	s.ClearFaults(FaultNotEnough)
	return s.books.setFunds(func(*int64) *int64 { return fen })
}

// TopUp adds money to a limited account and ends the fault not_enough.
func (s *Simulator) TopUp(fen int64) error {
	s.ClearFaults(FaultNotEnough)
	return s.books.setFunds(func(had *int64) *int64 {
		if had == nil {
			return nil
		}
		sum := *had + fen
		return &sum
	})
}

// Funds is what the account can still refund; nil is without end.
func (s *Simulator) Funds() *int64 { return s.books.funds() }

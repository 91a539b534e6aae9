package simulator

import (
	"fmt"
	"time"
)

// misprice makes a payment's total another than the order's.
func (s *Simulator) misprice(o Order, r PayRequest, at time.Time) PayRequest {
	if r.AmountFen == nil && o.payable(at) && s.fault(FaultAmountDiffers, o.OutTradeNo) {
		other := o.AmountFen + 1
		r.AmountFen = &other
	}
	return r
}

// late says that a closed or expired order is paid all the same.
func (s *Simulator) late(o Order, r PayRequest, at time.Time) bool {
	if o.State == StatePaid || o.payable(at) {
		return false
	}
	return r.late || s.fault(FaultSuccessAfterClose, o.OutTradeNo)
}

// multiply adds what faults make of genuine notices: repeats after the
// acknowledgement, and the same news under another id. write gives a notice its id
// and body anew.
func (s *Simulator) multiply(notices []Notice, write func(*Notice) error) ([]Notice, error) {
	all := notices
	for i := range notices {
		if notices[i].Kind != Genuine {
			continue
		}
		if s.fault(FaultNoticeDuplicate, notices[i].OutTradeNo) {
			all[i].Duplicates++
		}
		if s.fault(FaultNoticeNewID, notices[i].OutTradeNo) {
			again := notices[i]
			again.Duplicates = 0
			if err := write(&again); err != nil {
				return nil, fmt.Errorf("write notice again: %w", err)
			}
			all = append(all, again)
		}
	}
	return all, nil
}

// payAgain takes the money of an order a second time. The first payment stands,
// whatever becomes of this one.
func (s *Simulator) payAgain(o Order, r PayRequest) {
	if !s.fault(FaultSecondPayment, o.OutTradeNo) {
		return
	}
	r.TransactionID, r.Forged, r.Duplicates = "", 0, 0
	payment, err := s.paymentOf(o, r, s.now().UTC())
	if err == nil {
		payment.Second = true
		err = s.enter(o, payment, r)
	}
	if err != nil {
		s.log.Error("second payment failed", "out_trade_no", o.OutTradeNo, "error", err)
	}
}

// shut closes an order. By a fault its user pays just then.
func (s *Simulator) shut(outTradeNo string) error {
	before, known := s.books.order(outTradeNo)
	if err := s.books.shut(outTradeNo, s.now()); err != nil {
		return err
	}
	if !known || before.State != StateNotPaid {
		return nil
	}
	if f, fires := s.faultOf(FaultSuccessAfterClose, outTradeNo); fires {
		s.post.later(f.delay(), func() {
			if _, err := s.Pay(outTradeNo, PayRequest{late: true}); err != nil {
				s.log.Error("payment after close failed", "out_trade_no", outTradeNo, "error", err)
			}
		})
	}
	return nil
}

// asSeen is an order as a query shows it: the payment may not have got there yet.
func (s *Simulator) asSeen(o Order) Order {
	if o.State != StatePaid || o.Payment == nil || o.RefundCount > 0 {
		return o
	}
	early := func(f Fault) bool { return f.DelayMs == 0 || s.now().Before(o.Payment.PaidAt.Add(f.delay())) }
	if _, fires := s.faults.firesIf(FaultQueryNotpay, apiQuery, o.OutTradeNo, early); fires {
		o.State, o.Payment = StateNotPaid, nil
	}
	return o
}

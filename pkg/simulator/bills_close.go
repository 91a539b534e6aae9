package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// readyHour is when the day before has its bill: WeChat Pay begins at nine and asks
// merchants to come from ten (doc 4012760535, for partners).
const readyHour = 10

// errBadClose marks what the caller of CloseBooks got wrong.
var errBadClose = errors.New("bad request")

// CloseBooks makes the bill of a past day from what happened since the last close.
// It is ready at once.
func (s *Simulator) CloseBooks(c BillClose) (BillReport, error) {
	day, err := time.ParseInLocation(time.DateOnly, c.BillDate, beijing())
	switch {
	case err != nil:
		return BillReport{}, fmt.Errorf("%w: bill_date must read 2006-01-02", errBadClose)
	case dateOf(day) >= dateOf(s.now()):
		return BillReport{}, fmt.Errorf("%w: bill_date must be a past day in Beijing", errBadClose)
	case c.LineEnd != "" && c.LineEnd != "lf" && c.LineEnd != "crlf":
		return BillReport{}, fmt.Errorf("%w: line_end must be lf or crlf", errBadClose)
	}
	if err := s.closeBooks(c, false); err != nil {
		return BillReport{}, err
	}
	return s.books.billReport(c.BillDate), nil
}

// closeBooks asks the faults outside of the books' lock: what arrives meanwhile is
// taken, too, and stays as it is.
func (s *Simulator) closeBooks(c BillClose, sameDay bool) error {
	e := billEntry{BillClose: c, SameDay: sameDay, ClosedAt: s.now().UTC()}
	items := s.books.openItems(c.BillDate, sameDay)
	if sameDay && len(items) == 0 {
		return nil
	}
	for _, item := range items {
		if item.payment == nil && item.refund == nil {
			continue
		}
		if s.fault(FaultBillRowMissing, item.outTradeNo) {
			e.Missing = append(e.Missing, item.id())
		}
		if s.fault(FaultBillRowAltered, item.outTradeNo) {
			e.Altered = append(e.Altered, item.id())
		}
		if !s.fault(FaultBillRowExtra, item.outTradeNo) {
			continue
		}
		id, err1 := s.random.transactionID(item.at)
		number, err2 := s.random.text(20, decimal)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		e.Extra = append(e.Extra, billExtra{Like: item.id(), TransactionID: id, OutTradeNo: "EXTRA" + number})
	}
	if err := s.books.closeBill(e); err != nil {
		return fmt.Errorf("enter bill: %w", err)
	}
	s.log.Debug("books closed", "bill_date", c.BillDate, "same_day", sameDay, "items", len(items))
	return nil
}

// settleDay makes the bill of a day that nobody closed, once its time has come. It
// says whether that is still to be.
func (s *Simulator) settleDay(day time.Time) (creating bool, err error) {
	date := dateOf(day)
	if len(s.books.openItems(date, true)) == 0 {
		return false, nil
	}
	if s.now().Before(day.AddDate(0, 0, 1).Add(readyHour * time.Hour)) {
		return true, nil
	}
	return false, s.closeBooks(BillClose{BillDate: date}, true)
}

func (b *books) openItems(date string, sameDay bool) []billItem {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken, _ := b.bills.due(date, sameDay)
	return taken
}

func (b *books) closeBill(e billEntry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record(entry{Bill: &e})
}

// billDay is a copy; its rows never change once made.
func (b *books) billDay(date string) (billDay, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	day, known := b.bills.days[date]
	if !known {
		return billDay{}, false
	}
	return billDay{day.bom, day.lf, slices.Clip(day.rows), slices.Clip(day.flows)}, true
}

func (b *books) billReport(date string) BillReport {
	day, _ := b.billDay(date)
	report := BillReport{BillDate: date}
	for _, row := range day.rows {
		if row.refund == nil {
			report.Payments++
		} else {
			report.Refunds++
		}
	}
	return report
}

// controlBills closes the books: the stand-in for a night.
func (s *Simulator) controlBills(w http.ResponseWriter, r *http.Request) {
	var request BillClose
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	report, err := s.CloseBooks(request)
	switch {
	case errors.Is(err, errBadClose):
		writeControlError(w, http.StatusBadRequest, err, nil)
	case err != nil:
		s.log.Error("close of the books failed", "error", err)
		writeControlError(w, http.StatusInternalServerError, err, nil)
	default:
		writeJSON(w, http.StatusOK, report)
	}
}

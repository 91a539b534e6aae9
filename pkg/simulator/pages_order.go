package simulator

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// shownOrders bounds the first page.
	shownOrders = 200
	// firstAnswer is how long the answer to the Pay button waits for the first
	// notification, so that the page that follows can show it.
	firstAnswer = time.Second
)

// orderPage is one order with all that happened to it.
type orderPage struct {
	Order     Order
	State     stateView
	Payable   bool
	QR        template.HTML
	Refunds   []Refund
	Second    []Payment
	Exchanges []exchange
	Underway  int
	Faults    []Fault
	Groups    []faultGroup
	Back      string // the shop's page, for an order of H5
}

type orderRow struct {
	Order
	Now stateView
}

// stateView is a state in words, and the class that gives them their colour.
type stateView struct{ Word, Class string }

func (s *Simulator) stateOf(o Order) stateView {
	switch {
	case o.Payment != nil && o.RefundCount > 0:
		return stateView{"paid, refunded in part or whole", "refunded"}
	case o.Payment != nil:
		return stateView{"paid", "paid"}
	case o.State == StateClosed:
		return stateView{"closed", "over"}
	case !o.payable(s.now()):
		return stateView{"expired", "over"}
	}
	return stateView{"not paid", "open"}
}

func (s *Simulator) pageOrders(w http.ResponseWriter, _ *http.Request) {
	var rows []orderRow
	for _, o := range s.books.latest(shownOrders) {
		rows = append(rows, orderRow{o, s.stateOf(o)})
	}
	s.render(w, http.StatusOK, "orders.html", view{Title: "Orders", Here: "orders",
		Page: map[string]any{"Orders": rows, "Most": shownOrders, "Full": len(rows) == shownOrders}})
}

func (s *Simulator) pageOrder(w http.ResponseWriter, r *http.Request) {
	s.showOrder(w, pathParam(r, "out_trade_no"), backOf(r), http.StatusOK, "")
}

// pagePay answers a form: back to the order, or the order with what went wrong.
func (s *Simulator) pagePay(w http.ResponseWriter, r *http.Request) {
	number := pathParam(r, "out_trade_no")
	if _, err := s.Pay(number, PayRequest{}); err != nil {
		s.log.Warn("payment refused", "out_trade_no", number, "error", err)
		s.showOrder(w, number, backOf(r), payStatus(err), err.Error())
		return
	}
	s.awaitAttempt(r.Context(), number)
	http.Redirect(w, r, orderPath(number)+backQuery(backOf(r)), http.StatusSeeOther)
}

func orderPath(number string) string { return "/orders/" + url.PathEscape(number) }

// awaitAttempt looks until something was sent about the order, or for a moment.
func (s *Simulator) awaitAttempt(ctx context.Context, number string) {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	again := time.NewTicker(firstAnswer / 50)
	defer again.Stop()
	for len(s.Deliveries(number)) == 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Simulator) showOrder(w http.ResponseWriter, number, back string, status int, problem string) {
	order, known := s.Order(number)
	if !known {
		s.render(w, http.StatusNotFound, "missing.html", view{Title: "Not found", Page: number})
		return
	}
	page := orderPage{Order: order, Back: back, State: s.stateOf(order), Payable: order.payable(s.now()), Refunds: s.books.refundsOf(number),
		Second: s.books.secondPayments(number), Exchanges: s.books.exchanges(number), Underway: s.books.underway(number),
		Faults: s.activeFaults(number), Groups: faultGroups(func(i FaultInfo) bool { return i.ByOrder })}
	for i, e := range page.Exchanges {
		page.Exchanges[i].Plain = s.signers.openForReader(e.Body)
	}
	if page.Payable && strings.HasPrefix(order.Credential, "weixin://") {
		code, err := qrSVG(order.Credential, "QR code of "+order.Credential)
		if err != nil {
			s.log.Error("QR code failed", "out_trade_no", number, "error", err)
		}
		page.QR = code
	}
	s.render(w, status, "order.html", view{Title: "Order " + number + ", " + page.State.Word, Problem: problem, Page: page})
}

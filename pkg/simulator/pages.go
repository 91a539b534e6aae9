package simulator

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
)

// shownOrders bounds the first page.
const shownOrders = 200

//go:embed templates/*.html
var pageTemplates embed.FS

// pages are the parsed templates. They work without JavaScript.
type pages struct{ set *template.Template }

func parsePages() (pages, error) {
	set, err := template.New("").Funcs(template.FuncMap{
		"yuan":   func(fen int64) string { return fmt.Sprintf("%d.%02d", fen/100, fen%100) },
		"escape": url.PathEscape,
	}).ParseFS(pageTemplates, "templates/*.html")
	return pages{set}, err
}

func (s *Simulator) pageOrders(w http.ResponseWriter, _ *http.Request) {
	s.render(w, http.StatusOK, "orders.html", map[string]any{
		"Mchid": s.merchant.Mchid, "Orders": s.books.latest(shownOrders), "Most": shownOrders})
}

func (s *Simulator) pageOrder(w http.ResponseWriter, r *http.Request) {
	s.showOrder(w, pathParam(r, "out_trade_no"), http.StatusOK, "")
}

// pagePay answers a form: back to the order, or the order with what went wrong.
func (s *Simulator) pagePay(w http.ResponseWriter, r *http.Request) {
	number := pathParam(r, "out_trade_no")
	if _, err := s.Pay(number, PayRequest{}); err != nil {
		s.log.Warn("payment refused", "out_trade_no", number, "error", err)
		s.showOrder(w, number, payStatus(err), err.Error())
		return
	}
	http.Redirect(w, r, "/orders/"+url.PathEscape(number), http.StatusSeeOther)
}

func (s *Simulator) showOrder(w http.ResponseWriter, number string, status int, problem string) {
	order, known := s.Order(number)
	if !known {
		s.render(w, http.StatusNotFound, "missing.html", number)
		return
	}
	s.render(w, status, "order.html", map[string]any{
		"Order": order, "Payable": order.payable(s.now()), "Deliveries": s.Deliveries(number), "Problem": problem})
}

func (s *Simulator) render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := s.pages.set.ExecuteTemplate(&page, name, data); err != nil {
		s.log.Error("page failed", "page", name, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // the reader may be gone
}

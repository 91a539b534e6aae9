package simulator

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"
)

//go:embed templates/*.html
var pageTemplates embed.FS

// pages are the parsed templates. They work without JavaScript.
type pages struct{ set *template.Template }

func parsePages() (pages, error) {
	set, err := template.New("").Funcs(template.FuncMap{
		"yuan":   func(fen int64) string { return fmt.Sprintf("%d.%02d", fen/100, fen%100) },
		"escape": url.PathEscape,
		"utc":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"clock":  func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
		"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	}).ParseFS(pageTemplates, "templates/*.html")
	return pages{set}, err
}

// pageRoutes are what people see. Forms of other sites get nowhere: a page that is
// open in the same browser should not be able to pay.
func (s *Simulator) pageRoutes(r chi.Router) {
	r.Use(http.NewCrossOriginProtection().Handler)
	r.Get("/", s.pageOrders)
	r.Get("/orders/{out_trade_no}", s.pageOrder)
	r.Post("/orders/{out_trade_no}/pay", s.pagePay)
	r.Get("/faults", s.pageFaults)
	r.Post("/faults", s.pageSetFault)
	r.Post("/faults/clear", s.pageClearFaults)
}

// view is what every page is given; Page is its own part.
type view struct {
	Title   string
	Mchid   string
	Here    string // which entry of the navigation is this page
	Active  int    // faults that are on
	Problem string
	Page    any
}

func (s *Simulator) render(w http.ResponseWriter, status int, name string, v view) {
	v.Mchid, v.Active = s.merchant.Mchid, len(s.activeFaults(""))
	var page bytes.Buffer
	if err := s.pages.set.ExecuteTemplate(&page, name, v); err != nil {
		s.log.Error("page failed", "page", name, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Cache-Control", "no-store") // back and reload show how things are now
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // the reader may be gone
}

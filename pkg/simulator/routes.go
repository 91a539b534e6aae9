package simulator

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// routes: the v3 API, /control for programs, the pages for people.
func (s *Simulator) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(s.outage)
	r.Post("/v3/pay/transactions/jsapi", s.v3(s.prepay(tradeJSAPI)))
	r.Post("/v3/pay/transactions/app", s.v3(s.prepay(tradeApp)))
	r.Post("/v3/pay/transactions/h5", s.v3(s.prepay(tradeH5)))
	r.Post("/v3/pay/transactions/native", s.v3(s.prepay(tradeNative)))
	r.Get("/v3/pay/transactions/out-trade-no/{out_trade_no}", s.v3(s.queryByNumber))
	r.Get("/v3/pay/transactions/id/{transaction_id}", s.v3(s.queryByTransaction))
	r.Post("/v3/pay/transactions/out-trade-no/{out_trade_no}/close", s.v3(s.closeOrder))
	r.Get("/v3/certificates", s.v3(s.platformCertificates))
	r.Post("/v3/security/echo", s.v3(s.echo()))
	r.Group(s.refundRoutes)
	r.Get(h5Path, s.pageH5)

	s.routesV2(r)
	r.Get("/v3/bill/tradebill", s.v3(s.tradeBill))
	r.Get("/v3/bill/fundflowbill", s.v3(s.fundFlowBill))
	r.Get(billDownloadPath, s.v3(s.downloadBill))
	r.Post("/control/bills", s.controlBills)

	r.Post("/control/orders/{out_trade_no}/pay", s.controlPay)
	r.Get("/control/orders/{out_trade_no}", s.controlOrder)
	r.Get("/control/ledger", s.controlLedger)
	r.Get("/control/deliveries", s.controlDeliveries)
	r.Get("/control/calls", s.controlCalls)
	r.Get("/control/keys", s.controlKeys)
	r.Post("/control/keys", s.controlActOnKeys)
	r.Get("/control/faults", s.controlFaults)
	r.Post("/control/faults", s.controlSetFault)
	r.Delete("/control/faults", s.controlClearFaults)
	r.Delete("/control/faults/{id}", s.controlClearFault)

	r.Group(s.pageRoutes)
	r.Group(s.weixin.Routes)
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	r.NotFound(s.notHere(http.StatusNotFound))
	r.MethodNotAllowed(s.notHere(http.StatusMethodNotAllowed))
	return r
}

func (s *Simulator) notHere(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.log.Warn("request refused", "method", r.Method, "uri", clip(r.RequestURI), "status", status)
		drain(r)
		s.refuse(w, r, &refusal{status: status, code: "INVALID_REQUEST", message: "the simulator has no such path or method"})
	}
}

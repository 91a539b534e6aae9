package weixin

import (
	_ "embed" // the script
	"net/http"

	"github.com/go-chi/chi/v5"
)

//go:embed script/jweixin.js
var script []byte

// Routes mounts everything where WeChat has it: at the root.
func (p *Platform) Routes(r chi.Router) {
	get := func(path string, work endpoint) { r.HandleFunc(path, p.serve(http.MethodGet, work)) }
	post := func(path string, work endpoint) { r.HandleFunc(path, p.serve(http.MethodPost, work)) }
	get("/sns/oauth2/access_token", p.oauthAccessToken)
	get("/sns/oauth2/refresh_token", p.oauthRefresh)
	get("/sns/userinfo", p.oauthUserinfo)
	get("/sns/auth", p.oauthCheck)
	get("/sns/jscode2session", p.jscode2session)
	get("/cgi-bin/token", p.plainToken)
	post("/cgi-bin/stable_token", p.stableToken)
	get("/cgi-bin/ticket/getticket", p.getTicket)
	get("/cgi-bin/user/info", p.follower)
	post("/cgi-bin/menu/create", p.menuCreate)
	get("/cgi-bin/menu/get", p.menuGet)
	get("/cgi-bin/menu/delete", p.menuDelete)
	post("/wxa/business/getuserphonenumber", p.phoneNumber)
	r.Group(p.pageRoutes)
	p.bridgeRoutes(r)
	p.controlRoutes(r)
}

// pageRoutes are for people. A form of another site gets nowhere.
func (p *Platform) pageRoutes(r chi.Router) {
	r.Use(http.NewCrossOriginProtection().Handler)
	r.Get("/connect/oauth2/authorize", p.authorize)
	r.Post("/connect/oauth2/authorize", p.authorize)
	r.Get("/connect/qrconnect", p.qrconnect)
	r.Post("/connect/qrconnect", p.qrconnect)
	r.Get("/weixin/inside", p.pageInside)
	r.Post("/weixin/inside", p.pageInside)
	r.Get("/weixin/messages", p.pageMessages)
	r.Post("/weixin/messages", p.pageSend)
	r.Get(avatarPath+"{name}", p.avatar)
}

// bridgeRoutes are for the script inside a shop's page.
func (p *Platform) bridgeRoutes(r chi.Router) {
	r.Post("/weixin/pay", p.pay)
	r.Options("/weixin/pay", preflight)
	r.Get("/weixin/jsconfig", p.jsconfig)
	r.Get("/open/js/jweixin-1.6.0.js", p.jweixin)
}

// jweixin is the script. Outside of WeChat a page finds no bridge, so who holds no
// phone here gets none.
func (p *Platform) jweixin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	w.Header().Set("Cache-Control", "no-store")
	if _, inside := p.inside(r); !inside {
		_, _ = w.Write([]byte("window.weixinOutside = true;\n")) // the reader may be gone
	}
	_, _ = w.Write(script) // as above
}

func (p *Platform) controlRoutes(r chi.Router) {
	r.Get("/control/weixin/users", p.controlUsers)
	r.Post("/control/weixin/users", p.controlMeet)
	r.Post("/control/weixin/codes", p.controlCodes)
	r.Post("/control/weixin/codes/next", p.controlNext)
	r.Post("/control/weixin/tokens/expire", p.controlExpire)
	r.Get("/control/weixin/calls", p.controlCalls)
	r.Get("/control/weixin/faults", p.controlFaults)
	r.Post("/control/weixin/faults", p.controlSetFault)
	r.Delete("/control/weixin/faults", p.controlClearFaults)
	r.Post("/control/weixin/messages", p.controlMessage)
}

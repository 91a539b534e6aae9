package weixin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
)

// PayKind is the way in which a client calls for the cashier.
type PayKind string

// The ways: WeixinJSBridge and wx.chooseWXPay, wx.requestPayment, the OpenSDK.
const (
	PayJSAPI          PayKind = "jsapi"
	PayRequestPayment PayKind = "request_payment"
	PayApp            PayKind = "app"
)

// Invocation is a call for the cashier, with the parameters exactly as the page
// gave them.
type Invocation struct {
	Kind PayKind
	// Appid that the client runs under: a mini program does not name it itself.
	Appid string
	// User is who holds the phone.
	User   string
	Params map[string]string
}

// Openid is the payer's under an appid.
func (i Invocation) Openid(appid string) string { return OpenidOf(appid, i.User) }

// Bill is what the cashier shows.
type Bill struct {
	OutTradeNo  string `json:"out_trade_no"`
	Merchant    string `json:"merchant"`
	Description string `json:"description"`
	AmountFen   int64  `json:"amount_fen"`
}

// Cashier is the pay side. Its errors say what is wrong with the parameters.
type Cashier interface {
	// Offer checks a call and says what would be paid.
	Offer(i Invocation) (Bill, error)
	// Charge checks it again and pays.
	Charge(i Invocation) error
}

// payResult speaks the language of each client.
type payResult struct {
	Bridge  string `json:"err_msg,omitempty"` // WeixinJSBridge
	Desc    string `json:"err_desc,omitempty"`
	Message string `json:"errMsg,omitempty"`  // wx.requestPayment
	Code    *int   `json:"errCode,omitempty"` // the OpenSDK
	Text    string `json:"errStr,omitempty"`
	Bill    *Bill  `json:"bill,omitempty"`
	Payer   string `json:"payer,omitempty"`
}

// pay is the cashier itself: with preview=1 it says what would be paid, else it pays.
func (p *Platform) pay(w http.ResponseWriter, r *http.Request) {
	allowOrigin(w, r)
	invocation, err := p.readInvocation(w, r)
	var bill Bill
	preview := r.URL.Query().Get("preview") != ""
	if err == nil {
		bill, err = p.cashier.Offer(invocation)
	}
	if err == nil && !preview {
		err = p.cashier.Charge(invocation)
	}
	if err != nil {
		p.log.Warn("cashier refused", "kind", invocation.Kind, "user", invocation.User, "error", err)
	}
	result := resultOf(invocation.Kind, err)
	if err == nil && preview {
		who, _ := p.person(invocation.User) // readInvocation found the person
		result.Bill, result.Payer = &bill, who.Nickname+" ("+who.User+")"
	}
	writeJSON(w, http.StatusOK, result)
}

func resultOf(kind PayKind, err error) payResult {
	word, desc, code := "ok", "", 0
	if err != nil {
		word, desc, code = "fail", err.Error(), -1
	}
	switch kind {
	case PayApp:
		return payResult{Code: &code, Text: desc}
	case PayRequestPayment:
		if desc != "" {
			word += " " + desc
		}
		return payResult{Message: "requestPayment:" + word}
	case PayJSAPI:
	}
	return payResult{Bridge: "get_brand_wcpay_request:" + word, Desc: desc}
}

func (p *Platform) readInvocation(w http.ResponseWriter, r *http.Request) (Invocation, error) {
	i := Invocation{Kind: PayJSAPI}
	var given map[string]any
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&given); err != nil {
		return i, fmt.Errorf("the body is no JSON object: %w", err)
	}
	kind, appid, user := take(given, "kind"), "", take(given, "user")
	if kind != "" {
		i.Kind = PayKind(kind)
	}
	if i.Kind == PayRequestPayment {
		appid = take(given, "appid")
	}
	if params, nested := given["params"].(map[string]any); nested {
		given = maps.Clone(params)
	}
	var err error
	if i.Params, err = stringsOf(given); err != nil {
		return i, err
	}
	if user == "" {
		who, _ := p.inside(r)
		user = who.User
	}
	who, known := p.person(user)
	i.User = who.User
	switch {
	case i.Kind != PayJSAPI && i.Kind != PayRequestPayment && i.Kind != PayApp:
		return i, fmt.Errorf("kind must be jsapi, request_payment or app, not %q", i.Kind)
	case !known:
		return i, errors.New("nobody holds this phone: open the page through /weixin/inside, or name a user")
	case p.cashier == nil:
		return i, errors.New("this stand-in has no cashier")
	}
	i.Appid = p.runsUnder(i, appid)
	return i, nil
}

// runsUnder says which appid a client has.
func (p *Platform) runsUnder(i Invocation, named string) string {
	switch {
	case i.Kind == PayJSAPI:
		return i.Params["appId"]
	case i.Kind == PayApp:
		return i.Params["appid"]
	case named != "":
		return named
	}
	return p.firstOf(KindMiniProgram).Appid
}

func take(given map[string]any, name string) string {
	text, _ := given[name].(string)
	delete(given, name)
	return text
}

// stringsOf refuses what is no string: phones of one kind let a number pass, those
// of the other kind do not.
func stringsOf(given map[string]any) (map[string]string, error) {
	params := map[string]string{}
	for name, value := range given {
		text, is := value.(string)
		if !is {
			return nil, fmt.Errorf("%s must be a string", name)
		}
		params[name] = text
	}
	return params, nil
}

// allowOrigin lets pages of any shop ask, with the cookie that says who is asking.
func allowOrigin(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
	}
}

func preflight(w http.ResponseWriter, r *http.Request) {
	allowOrigin(w, r)
	w.WriteHeader(http.StatusNoContent)
}

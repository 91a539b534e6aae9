package miniprogram_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja_nodejs/eventloop"
	"github.com/dop251/goja_nodejs/require"
	testify "github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/examples/internal/street"
)

// What a person does when WeChat shows the cashier.
const (
	pays    = "pays"
	cancels = "cancels"
	lies    = "lies" // the client says "ok", and no money moved
)

// phone plays WeChat around the project's own JavaScript: App, Page, wx. It signs
// nothing and knows no secret: codes come from the stand-in platform, requests are
// real HTTP, and parameters go to the stand-in's cashier as the page gave them.
type phone struct {
	t      *testing.T
	street street.Street
	user   string
	loop   *eventloop.EventLoop

	mu      sync.Mutex
	cashier string            // what the person does there
	paid    []map[string]any  // parameters of each wx.requestPayment
	asked   []string          // "METHOD path" of each wx.request
	hosts   map[string]string // of the project's config.js, and where they are in this street
	spoil   int               // so many sessions turn out to have run out
	logins  int               // calls of wx.login
}

// newPhone starts the mini program in somebody's hand, as app.json says.
func newPhone(t *testing.T, s street.Street, user string) *phone {
	t.Helper()
	p := &phone{t: t, street: s, user: user, cashier: pays, hosts: map[string]string{
		"http://127.0.0.1:8095": s.ShopURL(), "http://127.0.0.1:8082": s.FrontURL(),
	}}
	registry := require.NewRegistry(require.WithLoader(func(path string) ([]byte, error) {
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, require.ModuleFileDoesNotExistError
		}
		return source, nil
	}))
	p.loop = eventloop.NewEventLoop(eventloop.WithRegistry(registry))
	p.loop.Start()
	t.Cleanup(p.loop.Terminate)
	root, err := filepath.Abs(".")
	testify.NoError(t, err)
	p.run(func(vm *goja.Runtime) {
		p.provide(vm)
		_, err = vm.RunString(runtime)
		testify.NoError(t, err)
		for _, script := range []string{"app.js", "pages/index/index.js"} {
			_, err = vm.RunString(fmt.Sprintf("require(%q)", filepath.Join(root, script)))
			testify.NoError(t, err, script)
		}
	})
	p.do(`page.onLoad({})`)
	return p
}

// runtime is what the developer tools give a page: data that setData changes.
const runtime = `
var page;
function App(options) { globalThis.app = options; }
function getApp() { return globalThis.app; }
function Page(options) {
  page = Object.assign({}, options, { data: JSON.parse(JSON.stringify(options.data)) });
  page.setData = function (patch) { Object.assign(this.data, JSON.parse(JSON.stringify(patch))); };
}
globalThis.App = App; globalThis.getApp = getApp; globalThis.Page = Page;
`

// provide is the wx object.
func (p *phone) provide(vm *goja.Runtime) {
	wx := vm.NewObject()
	for name, act := range map[string]func(options map[string]any) (answer any, ok bool){
		"login": p.login, "request": p.request, "requestPayment": p.requestPayment,
	} {
		testify.NoError(p.t, wx.Set(name, func(call goja.FunctionCall) goja.Value {
			options := call.Argument(0).ToObject(vm)
			given, _ := options.Export().(map[string]any)
			go func() { // the network takes its time, the page goes on
				answer, ok := act(given)
				p.loop.RunOnLoop(func(vm *goja.Runtime) { callBack(p.t, vm, options, answer, ok) })
			}()
			return goja.Undefined()
		}))
	}
	testify.NoError(p.t, wx.Set("getAccountInfoSync", func(goja.FunctionCall) goja.Value {
		return vm.ToValue(map[string]any{"miniProgram": map[string]any{"appId": street.MiniProgram}})
	}))
	testify.NoError(p.t, vm.Set("wx", wx))
}

func callBack(t *testing.T, vm *goja.Runtime, options *goja.Object, answer any, ok bool) {
	t.Helper()
	name := "success"
	if !ok {
		name = "fail"
	}
	if f, is := goja.AssertFunction(options.Get(name)); is {
		_, err := f(goja.Undefined(), vm.ToValue(answer))
		testify.NoError(t, err)
	}
}

func (p *phone) login(map[string]any) (any, bool) {
	p.mu.Lock()
	p.logins++
	p.mu.Unlock()
	return map[string]any{"code": p.street.Code(p.t, street.MiniProgram, p.user, "mini"), "errMsg": "login:ok"}, true
}

// request is real HTTP. Hosts of config.js lead to this street.
func (p *phone) request(options map[string]any) (any, bool) {
	url, _ := options["url"].(string)
	for documented, here := range p.hosts {
		url = strings.Replace(url, documented, here, 1)
	}
	var body io.Reader = http.NoBody
	if data, given := options["data"]; given && data != nil {
		raw, err := json.Marshal(data)
		testify.NoError(p.t, err)
		body = bytes.NewReader(raw)
	}
	method, _ := options["method"].(string)
	req, err := http.NewRequestWithContext(p.t.Context(), method, url, body)
	testify.NoError(p.t, err)
	header, _ := options["header"].(map[string]any)
	for name, value := range header {
		req.Header.Set(name, fmt.Sprint(value))
	}
	p.note(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return map[string]any{"errMsg": "request:fail " + err.Error()}, false
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return map[string]any{"errMsg": "request:fail " + err.Error()}, false
	}
	var data any = string(text)
	if err := json.Unmarshal(text, &data); err != nil {
		data = string(text) // as wx.request does with what is no JSON
	}
	return map[string]any{"statusCode": resp.StatusCode, "data": data, "errMsg": "request:ok"}, true
}

func (p *phone) note(req *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, req.Method+" "+req.URL.Path)
	if session := req.Header.Get("Authorization"); session != "" && p.spoil > 0 {
		p.spoil--
		req.Header.Set("Authorization", session[:len(session)-8]+"AAAAAAAA")
	}
}

func (p *phone) requestPayment(options map[string]any) (any, bool) {
	params := map[string]any{}
	for name, value := range options {
		if name != "success" && name != "fail" && name != "complete" {
			params[name] = value
		}
	}
	p.mu.Lock()
	p.paid = append(p.paid, params)
	cashier := p.cashier
	p.mu.Unlock()
	switch cashier {
	case cancels:
		return map[string]any{"errMsg": "requestPayment:fail cancel"}, false
	case lies:
		return map[string]any{"errMsg": "requestPayment:ok"}, true
	}
	answer := p.street.Pay(p.t, p.user, "request_payment", params)
	return answer, answer["errMsg"] == "requestPayment:ok"
}

// decide says what the person does at the cashier from now on.
func (p *phone) decide(cashier string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cashier = cashier
}

func (p *phone) spoilSessions(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoil = n
}

func (p *phone) count() (logins int, paid []map[string]any, asked []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logins, p.paid, p.asked
}

// run works on the page's own thread and waits for it.
func (p *phone) run(work func(vm *goja.Runtime)) {
	p.t.Helper()
	done := make(chan struct{})
	testify.True(p.t, p.loop.RunOnLoop(func(vm *goja.Runtime) {
		defer close(done)
		work(vm)
	}))
	<-done
}

// do calls one of the page's functions, as a tap does, and waits for its promise.
func (p *phone) do(script string) {
	p.t.Helper()
	ended := make(chan string, 1) // one promise settles once
	p.run(func(vm *goja.Runtime) {
		testify.NoError(p.t, vm.Set("settled", func(word string) { ended <- word }))
		_, err := vm.RunString("Promise.resolve(" + script + ").then(() => settled(''), (e) => settled(String(e && e.stack || e)))")
		testify.NoError(p.t, err)
	})
	select {
	case word := <-ended:
		testify.Empty(p.t, word, script)
	case <-time.After(patience):
		testify.FailNow(p.t, "the page does not come to an end", script)
	}
}

// data is what the page shows.
func (p *phone) data() pageData {
	p.t.Helper()
	var raw string
	p.run(func(vm *goja.Runtime) {
		value, err := vm.RunString("JSON.stringify(page.data)")
		testify.NoError(p.t, err)
		raw = value.String()
	})
	var d pageData
	testify.NoError(p.t, json.Unmarshal([]byte(raw), &d))
	return d
}

type pageData struct {
	Items []struct {
		ID    string `json:"id"`
		Price string `json:"price"`
	} `json:"items"`
	Order *struct {
		OutTradeNo string `json:"out_trade_no"`
		State      string `json:"state"`
		AmountFen  int64  `json:"amount_fen"`
		Payable    bool   `json:"payable"`
	} `json:"order"`
	State struct{ En string } `json:"state"`
	Note  struct {
		Zh  string
		Bad bool
	} `json:"note"`
	Phone bool `json:"phone"`
}

// shows waits until the page shows this state of its order, and gives the order's number.
func (p *phone) shows(state string) string {
	p.t.Helper()
	testify.Eventually(p.t, func() bool {
		d := p.data()
		return d.Order != nil && d.Order.State == state
	}, patience, 50*time.Millisecond, "the page shows %+v", p.data())
	return p.data().Order.OutTradeNo
}

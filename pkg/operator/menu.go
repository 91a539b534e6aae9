package operator

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/fenflow/fenflow/pkg/pay"
)

// What a worker is asked to do with a menu.
const (
	menuGet    = "get"
	menuSet    = "set"
	menuCheck  = "check" // against WeChat's limits; nothing is changed
	menuRemove = "rm"
)

// maxMenuBytes is far beyond three buttons with five below each, names and
// addresses as long as WeChat takes them (18 × 1.2 KB), and a reason.
const maxMenuBytes = 64 << 10

func (a *API) routeMenus(r chi.Router) {
	a.routeMethods(r, "/operator/v1/apps/{appid}/menu", map[string]handler{
		http.MethodGet: a.menu, http.MethodPut: a.setMenu, http.MethodDelete: a.removeMenu,
	})
}

// menuQuestion is what is to be done with an app's menu, and, where it changes, who
// wants it and why: the worker writes the audit log before it asks WeChat.
type menuQuestion struct {
	AppID pay.AppID       `json:"appid"`
	Act   string          `json:"act"`
	Menu  json.RawMessage `json:"menu,omitempty"`
	Actor string          `json:"actor,omitempty"`
	Why   string          `json:"why,omitempty"`
}

type menuDocument struct {
	AppID pay.AppID       `json:"appid"`
	Menu  json.RawMessage `json:"menu,omitempty"`
}

func (a *API) menu(w http.ResponseWriter, c *call) error {
	appid := c.appid()
	if err := c.query.done(); err != nil {
		return err
	}
	return a.askMenu(w, c, menuQuestion{AppID: appid, Act: menuGet}, askAgain)
}

func (a *API) setMenu(w http.ResponseWriter, c *call) error {
	appid := c.appid()
	if err := c.query.done(); err != nil {
		return err
	}
	f, err := readFieldsWithin(w, c.Request, maxMenuBytes)
	if err != nil {
		return err
	}
	q := menuQuestion{AppID: appid, Act: menuSet, Menu: f.object("menu"), Actor: c.actor(), Why: f.reason()}
	var dry bool
	if f.take("dry_run", "true or false", &dry); dry {
		q.Act = menuCheck
	}
	if err := f.done(); err != nil {
		return err
	}
	return a.askMenu(w, c, q, lookAtMenu)
}

func (a *API) removeMenu(w http.ResponseWriter, c *call) error {
	appid := c.appid()
	if err := c.query.done(); err != nil {
		return err
	}
	why, err := readReason(w, c.Request)
	if err != nil {
		return err
	}
	return a.askMenu(w, c, menuQuestion{AppID: appid, Act: menuRemove, Actor: c.actor(), Why: why}, lookAtMenu)
}

const lookAtMenu = "Look at the menu (`fenflow wechat menu get APPID`), and send the same request again: a menu that is set twice is set once."

func (a *API) askMenu(w http.ResponseWriter, c *call, q menuQuestion, unknown string) error {
	note(w, slog.String("appid", string(q.AppID)), slog.String("act", q.Act))
	d, err := askFor[menuDocument](c.Context(), a, subjectMenu, q, unknown)
	if err != nil {
		return err
	}
	d.AppID = q.AppID
	if string(d.Menu) == "null" {
		d.Menu = nil
	}
	return answer(w, d)
}

// appid is the app in the address; what cannot be one is wrong.
func (c *call) appid() pay.AppID {
	text := pathValue(c.Request, "appid")
	id, err := pay.ParseAppID(text)
	if err != nil {
		c.query.bad("appid", "is %s; it must be an appid, such as wx8888888888888888", shown(text))
	}
	return id
}

// object is a field that must be there and hold a JSON object, as it was sent.
func (f *fields) object(name string) json.RawMessage {
	if _, given := f.given[name]; !given {
		f.bad(name, "is missing")
	}
	var parts map[string]json.RawMessage
	if !f.take(name, "a JSON object", &parts) {
		return nil
	}
	return f.given[name]
}

package weixin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBody is far above any document that comes here.
const maxBody = 128 << 10

// decode reads a control document, an empty one for {}, and answers if it cannot.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		writeProblem(w, http.StatusBadRequest, fmt.Errorf("read the body: %w", err))
		return false
	}
	return true
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // the caller may be gone
}

func writeProblem(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

// parties finds who and what a control document names.
func (p *Platform) parties(appid, user string) (App, Person, error) {
	app, knownApp := p.app(appid)
	who, knownPerson := p.person(user)
	var err error
	if !knownApp {
		err = fmt.Errorf("appid %q is none of this merchant's; merchant.json lists them", appid)
	}
	if !knownPerson {
		err = errors.Join(err, fmt.Errorf("nobody is called %q; GET /control/weixin/users lists people", user))
	}
	return app, who, err
}

// checkCodeKind wants what the kind of app can have.
func checkCodeKind(app App, kind codeKind) error {
	fits := map[codeKind][]Kind{
		codeOAuth: {KindOfficialAccount, KindWebsite}, codeMini: {KindMiniProgram},
		codePhone: {KindMiniProgram}, codeApp: {KindApp},
	}
	for _, k := range fits[kind] {
		if k == app.Kind {
			return nil
		}
	}
	return fmt.Errorf("kind must be oauth, mini, phone or app and fit the appid, which is a %s; not %q", app.Kind, kind)
}

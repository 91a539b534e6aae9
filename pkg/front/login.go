package front

import (
	"fmt"
	"net/http"
	"regexp"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/request"
)

const (
	// maxBodyBytes: encrypted user data has some 500 characters; 16 KiB is ample.
	maxBodyBytes = 16 << 10
	maxEncrypted = 8 << 10
)

var (
	verifierShape = regexp.MustCompile(`^[0-9A-Za-z._~-]{43,128}$`) // RFC 7636, 4.1
	base64Shape   = regexp.MustCompile(`^[0-9A-Za-z+/]+={0,2}$`)
	sha1Shape     = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)
)

// loginQuestion is one of two: the ticket of a web login, or the code of a mini
// program or app with what the buyer let it have besides.
type loginQuestion struct {
	AppID         string `json:"appid"`
	Ticket        string `json:"ticket,omitempty"`
	Verifier      string `json:"verifier,omitempty"`
	Code          string `json:"code,omitempty"`
	PhoneCode     string `json:"phone_code,omitempty"`
	EncryptedData string `json:"encrypted_data,omitempty"`
	IV            string `json:"iv,omitempty"`
	RawData       string `json:"raw_data,omitempty"`
	Signature     string `json:"signature,omitempty"`
}

// login turns a ticket or a code into a session.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) error {
	app, err := h.app(w, r)
	if err != nil {
		return err
	}
	raw, err := httpedge.ReadJSON(w, r, maxBodyBytes, "a login")
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	question, err := readLogin(raw)
	if err != nil {
		return err
	}
	question.AppID = string(app.AppID)
	return h.pass(w, r, subjectLogin, question)
}

// readLogin reads a login strictly. None of its problems repeats a value.
func readLogin(raw []byte) (loginQuestion, error) {
	f, err := request.ReadSecret(raw)
	if err != nil {
		return loginQuestion{}, err //nolint:wrapcheck // it is a problem
	}
	var q loginQuestion
	if f.Given("ticket") || f.Given("verifier") {
		q.Ticket = shaped(f, "ticket", ticketShape, "is no ticket of fenflow's")
		q.Verifier = shaped(f, "verifier", verifierShape, "must be the text whose SHA-256 was the challenge: 43 to 128 of 0-9 A-Z a-z - . _ ~")
		return q, f.Done() //nolint:wrapcheck // it is a problem
	}
	q.Code = shaped(f, "code", codeShape, "is none of WeChat's")
	q.readExtras(f)
	return q, f.Done() //nolint:wrapcheck // it is a problem
}

// readExtras reads what a mini program may add. Halves are of no use.
func (q *loginQuestion) readExtras(f *request.Fields) {
	if f.Given("phone_code") {
		q.PhoneCode = shaped(f, "phone_code", codeShape, "is none of WeChat's")
	}
	if f.Given("encrypted_data") || f.Given("iv") {
		q.EncryptedData = shaped(f, "encrypted_data", base64Shape, "must be base64, as the mini program was given it")
		q.IV = shaped(f, "iv", base64Shape, "must be base64, as the mini program was given it")
	}
	if f.Given("raw_data") || f.Given("signature") {
		// It is signed as it is, so nothing of it is mended: names hold all sorts.
		q.RawData = f.Prose("raw_data", "signature needs it", func(s string) string {
			if s == "" || utf8.RuneCountInString(s) > maxEncrypted {
				return fmt.Sprintf("must have 1 to %d characters", maxEncrypted)
			}
			return ""
		})
		q.Signature = shaped(f, "signature", sha1Shape, "must be 40 hex digits")
	}
}

// shaped reads a field that must be there and have a shape.
func shaped(f *request.Fields, name string, shape *regexp.Regexp, otherwise string) string {
	value := f.Text(name, true, maxEncrypted)
	if value != "" && !shape.MatchString(value) {
		f.Bad(name, "%s", otherwise)
	}
	return value
}

// jsConfigQuestion has a worker sign for wx.config.
type jsConfigQuestion struct {
	AppID string `json:"appid"`
	URL   string `json:"url"`
}

// jsConfig hands out what a page calls wx.config with.
func (h *Handler) jsConfig(w http.ResponseWriter, r *http.Request) error {
	app, err := h.app(w, r)
	if err != nil {
		return err
	}
	pages := r.URL.Query()["url"]
	if len(pages) != 1 {
		return problem.InvalidFields(problem.Field{Field: "url", Message: "must be there once: the page's own address, percent-encoded"})
	}
	if err := app.MayConfigure(pages[0]); err != nil {
		return problem.Newf(problem.PageRefused, "url: %v", err)
	}
	return h.pass(w, r, subjectJSConfig, jsConfigQuestion{AppID: string(app.AppID), URL: pages[0]})
}

package weixin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

//go:embed templates/*.html
var templates embed.FS

// cookieName holds whose phone a browser plays.
const cookieName = "weixin_user"

// view is what each page is given.
type view struct {
	Title string
	Page  any
}

// insidePage is where somebody chooses who they are.
type insidePage struct {
	People []Person
	URL    string
	Note   string
	Now    string // whose phone it is at present
}

func parsePages() (*template.Template, error) {
	pages, err := template.New("").Funcs(template.FuncMap{
		"avatar": func(user string) string { return avatarPath + user + ".svg" },
	}).ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	return pages, nil
}

func (p *Platform) render(w http.ResponseWriter, status int, name string, v view) {
	var page bytes.Buffer
	if err := p.pages.ExecuteTemplate(&page, name, v); err != nil {
		p.log.Error("page failed", "page", name, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // the reader may be gone
}

// inside says whose WeChat a browser plays.
func (p *Platform) inside(r *http.Request) (Person, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return Person{}, false
	}
	return p.person(cookie.Value)
}

// pageInside makes this browser somebody's phone and opens a page in it.
func (p *Platform) pageInside(w http.ResponseWriter, r *http.Request) {
	name, target := r.FormValue("user"), r.FormValue("url")
	if target == "" {
		target = p.shopURL
	}
	if name == "" || target == "" {
		now, _ := p.inside(r)
		p.render(w, http.StatusOK, "inside.html", view{Title: "Inside WeChat", Page: insidePage{
			People: p.everyone(), URL: target, Now: now.User, Note: "Choose who you are and what to open."}})
		return
	}
	who, known := p.person(name)
	if !known || !opens(target) {
		p.render(w, http.StatusBadRequest, "refused.html", view{Title: "That did not work", Page: fmt.Sprintf(
			"Nobody is called %q, or %q is no web address.", name, target)})
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: who.User, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// opens allows web pages and pages of the stand-in itself.
func opens(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	local := u.Scheme == "" && u.Host == "" && strings.HasPrefix(u.Path, "/")
	return local || u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

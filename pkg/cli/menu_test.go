package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/fenflow/fenflow/pkg/problem"
)

// readyMenus keeps one menu, as WeChat does behind a console; its last button has a
// name that some forger wrote.
func readyMenus(mux *http.ServeMux) {
	var mu sync.Mutex
	menu := ""
	tell := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"appid":"`+r.PathValue("appid")+`"`+menu+`}`)
	}
	mux.HandleFunc("GET /operator/v1/apps/{appid}/menu", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.PathValue("appid") == "wx1" {
			refuse(w, problem.New(problem.NoMenu, "app wx1 is of kind mini_program, and official accounts alone have menus"))
			return
		}
		tell(w, r)
	})
	mux.HandleFunc("PUT /operator/v1/apps/{appid}/menu", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body struct{ Menu json.RawMessage }
		raw, _ := io.ReadAll(r.Body) // what is missing is no menu
		_ = json.Unmarshal(raw, &body)
		if strings.Contains(string(raw), "seventeen") {
			refuse(w, problem.InvalidFields(problem.Field{Field: "button[1].sub_button[0].name", Message: "it must have 1 to 60 bytes of UTF-8 (a Chinese character has 3), not 61"}))
			return
		}
		before := menu
		menu = `,"menu":` + string(body.Menu)
		tell(w, r)
		if strings.Contains(string(raw), `"dry_run":true`) {
			menu = before
		}
	})
	mux.HandleFunc("DELETE /operator/v1/apps/{appid}/menu", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		menu = ""
		tell(w, r)
	})
}

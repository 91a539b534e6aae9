package front

import (
	"net/http"
	"slices"
	"strings"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	verifyPrefix = "MP_verify_"
	verifySuffix = ".txt"
	// verifyPath needs the rule after the colon: without one, a parameter with text
	// after it ends at the first dot, wherever that is.
	verifyPath = "/" + verifyPrefix + "{key:[0-9A-Za-z]+}" + verifySuffix
)

// verifyFile answers the files that WeChat's console asks for at the root of a
// domain. What they hold is in their name.
func (h *Handler) verifyFile(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if !slices.Contains(h.Current().VerifyFiles, name) {
		return problem.New(problem.NotFound, "no such file is listed in front.verify_files")
	}
	httpedge.WriteBody(w, http.StatusOK, "text/plain; charset=utf-8", []byte(strings.TrimSuffix(strings.TrimPrefix(name, verifyPrefix), verifySuffix)))
	return nil
}

package front

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"mime"
	"net/http"
	"strings"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/problem"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// page shows a buyer why a login did not come about.
type page struct {
	text   *template.Template
	policy string
}

func newPage() *page {
	sum := sha256.Sum256([]byte(pageStyle))
	return &page{
		text:   template.Must(template.New("page").Parse(pageText)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

// shown is what stands on the page.
type shown struct {
	Style    template.CSS
	Chinese  said
	Document problem.Document
	Back     string // the shop's page; empty: not known
}

// said is what happened and what to do, in a buyer's words.
type said struct{ What, Do string }

// write answers a person. The words for engineers stand below those for buyers.
func (p *page) write(w http.ResponseWriter, err error) {
	content := shown{Style: template.CSS(pageStyle), Document: problem.DocumentOf(err, ""), Chinese: inChinese(err)} //nolint:gosec // our own file
	var back *returning
	if errors.As(err, &back) {
		content.Back = back.to
	}
	var text bytes.Buffer
	if failed := p.text.Execute(&text, content); failed != nil {
		httpedge.WriteProblem(w, problem.Wrap(problem.Internal, failed, ""), "")
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", p.policy)
	header.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	httpedge.WaitHeaders(w, content.Document.Status)
	httpedge.WriteBody(w, content.Document.Status, "text/html; charset=utf-8", text.Bytes())
}

const beginAgain = "请返回商家页面，重新登录。"

// inChinese tells a buyer; most read no English.
func inChinese(err error) said {
	kind := problem.KindOf(err)
	if words, known := knownToBuyers()[kind]; known {
		return words
	}
	if kind.Status() >= http.StatusInternalServerError {
		return said{"暂时无法登录。", "请稍后再试；如一直如此，请把下面的代码告诉商家。"}
	}
	return said{"微信登录没有成功。", beginAgain + "如一直如此，请把下面的代码告诉商家。"}
}

// knownToBuyers are what a buyer can do something about, and what the shop alone can.
func knownToBuyers() map[problem.Kind]said {
	shops := said{"商家的登录设置有误。", "请把下面的代码告诉商家。"}
	return map[problem.Kind]said{
		problem.LoginStateLost:  {"这次登录已失效，或不是在当前浏览器中发起的。", beginAgain},
		problem.LoginDeclined:   {"您没有同意微信登录。", "如需继续，请返回商家页面，重新登录并同意授权。"},
		problem.SnapshotUser:    {"当前是网页快照，无法登录。", "请点击页面底部的“使用完整服务”，再重新登录。"},
		problem.TooManyRequests: {"操作过于频繁。", "请稍候片刻再试。"},

		problem.UnknownApp: shops, problem.ReturnRefused: shops, problem.Invalid: shops, problem.MethodNotAllowed: shops,
		problem.AppNotReady: shops, problem.AppRefused: shops,
	}
}

// wantsJSON says whether a program asks, which says so; browsers ask for a page.
func wantsJSON(r *http.Request) bool {
	takesJSON := false
	for wish := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		switch mediaType, _, _ := mime.ParseMediaType(strings.TrimSpace(wish)); mediaType {
		case "text/html":
			return false
		case "application/json", problem.ContentType:
			takesJSON = true
		}
	}
	return takesJSON
}

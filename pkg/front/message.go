package front

import (
	"fmt"
	"mime"
	"net/http"
	"slices"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxMessageBytes: a text of 2,048 characters, encrypted, has some 10 KiB; more
// than 64 KiB is no message of WeChat's.
const maxMessageBytes = 64 << 10

// messageQuestion is a server message as it came; the worker has the keys.
type messageQuestion struct {
	AppID       string `json:"appid"`
	Method      string `json:"method"`
	Query       string `json:"query"`
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"` // base64
}

// messageAnswer is what WeChat is answered, word for word.
type messageAnswer struct {
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
}

// message passes a server message on. WeChat repeats whatever is not answered
// 200, so that nothing is lost while a worker is away.
func (h *Handler) message(w http.ResponseWriter, r *http.Request) error {
	app, err := h.app(w, r)
	if err != nil {
		return err
	}
	body, err := httpedge.ReadWhole(w, r, maxMessageBytes)
	if err != nil {
		return err //nolint:wrapcheck // it is a problem
	}
	question := messageQuestion{
		AppID: string(app.AppID), Method: r.Method, Query: r.URL.RawQuery, ContentType: httpedge.Clip(r.Header.Get("Content-Type"), 128), Body: body,
	}
	var answer messageAnswer
	if err := h.into(r.Context(), subjectMessage, question, messageWait, &answer); err != nil {
		return err
	}
	if mediaType, _, err := mime.ParseMediaType(answer.ContentType); err != nil || !slices.Contains([]string{"text/plain", "text/xml", "application/xml", "application/json"}, mediaType) {
		return problem.Wrap(problem.Internal, fmt.Errorf("a worker answered a message with a content type of %d bytes that messages have not", len(answer.ContentType)), "")
	}
	httpedge.WriteBody(w, http.StatusOK, answer.ContentType, []byte(answer.Body))
	return nil
}

package wechat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// maxAnswerBytes: the largest real answer is a menu with its conditional ones,
// far below it.
const maxAnswerBytes = 1 << 20

// platform is the host that the library writes into its requests; send puts
// the configured one in its place.
const platform = "https://api.weixin.qq.com"

// call is one call to WeChat: what it is named in errors, and what must not
// appear there.
type call struct {
	client        *Client
	api           string
	carriesSecret bool
	secrets       []string
}

func (c *Client) call(api string, secrets ...string) *call {
	return &call{client: c, api: api, secrets: secrets}
}

func (c *Client) callWithSecret(api string, app App, secrets ...string) *call {
	return &call{client: c, api: api, carriesSecret: true, secrets: append(secrets, app.Secret.Reveal())}
}

// do makes a call that the library cannot make with a context, and reads its
// answer into out.
func (c *call) do(ctx context.Context, method, path string, query url.Values, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, platform+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return c.refused(ClassOther, "the request cannot be made")
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json;charset=utf-8")
	}
	answer, err := c.send(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return c.unreadable("its answer has fields of other types than documented")
	}
	return nil
}

// send makes the request at the configured address and gives the body of an
// answer that is no refusal; everything else is an *APIError.
func (c *call) send(r *http.Request) ([]byte, error) {
	began := c.client.now()
	body, err := c.exchange(r)
	c.client.called(c.api, cmp.Or(string(ClassOf(err)), "ok"))
	c.client.logger.LogAttrs(r.Context(), slog.LevelDebug, "wechat called",
		slog.String("api", c.api), slog.Duration("took", c.client.now().Sub(began)),
		slog.String("class", string(ClassOf(err))), slog.Int("errcode", codeOf(err)))
	return body, err
}

func (c *call) exchange(r *http.Request) ([]byte, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host = c.client.base.Scheme, c.client.base.Host, ""
	out.URL.Path = c.client.base.Path + r.URL.Path
	response, err := c.client.http.Do(out)
	if err != nil {
		return nil, c.unreached(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, c.unreached(err)
	case response.StatusCode != http.StatusOK:
		return nil, c.badStatus(response.StatusCode)
	case len(body) > maxAnswerBytes:
		return nil, c.unreadable("its answer is longer than 1 MiB")
	}
	return body, c.refusalIn(body)
}

// refusalIn reads errcode, which WeChat sends with status 200.
func (c *call) refusalIn(body []byte) error {
	var head struct {
		Code    int    `json:"errcode"`
		Message string `json:"errmsg"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return c.unreadable("its answer is not the JSON that is documented")
	}
	if head.Code == 0 {
		return nil
	}
	return &APIError{
		API: c.api, Status: http.StatusOK, Code: head.Code,
		Message: scrub(head.Message, c.secrets), Class: classOf(head.Code, c.carriesSecret),
	}
}

func (c *call) badStatus(status int) *APIError {
	class := ClassOther
	switch {
	case status >= http.StatusInternalServerError:
		class = ClassRetry
	case status == http.StatusTooManyRequests:
		class = ClassTooOften
	}
	return &APIError{API: c.api, Status: status, Message: "instead of an answer", Class: class}
}

// unreached words a failure of the connection. The error of net/http holds the
// URL with the secret in it; only what lies below that is used.
func (c *call) unreached(err error) *APIError {
	e := &APIError{API: c.api, Class: ClassRetry}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	switch {
	case errors.Is(err, context.Canceled):
		e.Message, e.cause = "the call was given up by its caller", context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		e.Message, e.cause = "no answer in time (at most "+callTimeout.Round(time.Second).String()+")", context.DeadlineExceeded
	default:
		e.Message = "no answer: " + scrub(err.Error(), c.secrets)
	}
	return e
}

// unreadable: what answered is not WeChat as it is documented, a proxy maybe.
func (c *call) unreadable(why string) *APIError { return c.refused(ClassRetry, why) }

func (c *call) refused(class Class, why string) *APIError {
	return &APIError{API: c.api, Message: why, Class: class}
}

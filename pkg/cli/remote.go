package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/problem"
)

// What says where the operators' API is, and who asks. There is no flag for
// the token: everybody on this machine can read command lines.
const (
	urlVariable       = "FENFLOW_URL"
	tokenVariable     = "FENFLOW_TOKEN"      //nolint:gosec // a name, not what it holds
	tokenFileVariable = "FENFLOW_TOKEN_FILE" //nolint:gosec // a name, not what it holds
)

// localConsole is where a console listens unless it is told otherwise.
const localConsole = "http://127.0.0.1:8083"

// bearerPrefix begins every operator's token.
const bearerPrefix = "fft_"

// answerTimeout bounds one call, its answer included.
const answerTimeout = 30 * time.Second

// maxAnswerBytes is far beyond a page of 500 rows or a letter with its bytes.
const maxAnswerBytes = 64 << 20

const howToGetToken = "Set " + tokenVariable + " (or " + tokenFileVariable + ", a file that holds it) to an operator's token: `fenflow token create NAME --role read` makes one."

const howToFindConsole = "Set " + urlVariable + " or --url to where `fenflow console` listens (listen.console)."

// remote is the operators' API at one address.
type remote struct {
	url    string
	token  string
	agent  string
	client *http.Client
}

// base is what the paths of the API are relative to.
func (r remote) base() string { return r.url + "/" }

// asks is a leaf that goes through the operators' API.
func (c *commandLine) asks(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, api remote, args []string) (answer, error)) *cobra.Command {
	leaf := c.leaf(use, short, args, func(ctx context.Context, args []string) (answer, error) {
		api, err := c.remote()
		if err != nil {
			return answer{}, err
		}
		return do(ctx, api, args)
	})
	leaf.Flags().StringVar(&c.url, "url", "", "address of the console (default: "+urlVariable+", else "+localConsole+")")
	return leaf
}

func (c *commandLine) remote() (remote, error) {
	address, err := c.consoleURL()
	if err != nil {
		return remote{}, err
	}
	token, err := c.operatorToken()
	if err != nil {
		return remote{}, err
	}
	return remote{url: strings.TrimRight(address, "/"), token: token, agent: "fenflow/" + c.Build.Version, client: &http.Client{
		Timeout: answerTimeout,
		// A redirection would carry the token to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (c *commandLine) consoleURL() (string, error) {
	address, kind, origin := c.url, problem.Usage, "--url"
	if address == "" {
		address, _ = c.Lookup(urlVariable)
		kind, origin = problem.Config, urlVariable
	}
	if address == "" {
		return localConsole, nil
	}
	parsed, err := url.Parse(address)
	switch {
	case err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https":
		return "", badSetting(kind, origin, "is no address of a console, such as "+localConsole)
	case parsed.User != nil:
		return "", badSetting(kind, origin, "carries a user or password: the API takes only a token, from "+tokenVariable)
	case parsed.RawQuery != "" || parsed.Fragment != "":
		return "", badSetting(kind, origin, "carries more than an address: leave out what follows ? or #")
	}
	return address, nil
}

// badSetting never repeats the value: it may hold a password.
func badSetting(kind problem.Kind, origin, message string) error {
	return &problem.Error{
		Kind: kind, Fields: []problem.Field{{Field: origin, Message: message}},
		NextStep: howToFindConsole,
	}
}

func (c *commandLine) operatorToken() (string, error) {
	token, _ := c.Lookup(tokenVariable)
	file, _ := c.Lookup(tokenFileVariable)
	origin := tokenVariable
	if token == "" && file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			e := problem.Wrap(problem.SecretUnreadable, err, tokenFileVariable)
			e.NextStep = "Name a file in " + tokenFileVariable + " that this user may read and that holds an operator's token, or set " + tokenVariable + " instead."
			return "", e
		}
		token, origin = string(raw), tokenFileVariable
	} else if file != "" {
		return "", badToken(tokenFileVariable, "is set together with "+tokenVariable+": unset one")
	}
	token = strings.TrimSpace(token)
	switch secret, ours := strings.CutPrefix(token, bearerPrefix); {
	case token == "":
		return "", badToken(origin, "is not set: the operators' API asks for a token")
	case strings.HasPrefix(token, keyPrefix):
		return "", badToken(origin, "is a shop's API key; operators have tokens of their own, which begin with "+bearerPrefix)
	case !ours || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", badToken(origin, "is no operator's token: one is "+bearerPrefix+" and 43 characters")
	}
	return token, nil
}

func badToken(origin, message string) error {
	return &problem.Error{Kind: problem.Config, Fields: []problem.Field{{Field: origin, Message: message}}, NextStep: howToGetToken}
}

// ask sends what package operatorapi made, and gives the document of the
// answer, or why there is none.
func (r remote) ask(ctx context.Context) func(*http.Request, error) (json.RawMessage, error) {
	return func(request *http.Request, err error) (json.RawMessage, error) {
		if err != nil {
			return nil, problem.Wrap(problem.Internal, err, "make a request")
		}
		request.Header.Set("Authorization", "Bearer "+r.token)
		request.Header.Set("User-Agent", r.agent)
		resp, err := r.client.Do(request.WithContext(ctx))
		if err != nil {
			return nil, r.away(err)
		}
		defer func() { _ = resp.Body.Close() }()
		return r.take(resp)
	}
}

func (r remote) take(resp *http.Response) (json.RawMessage, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, r.away(err)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case len(body) > maxAnswerBytes:
		return nil, problem.Newf(problem.TooLarge, "%s answers with more than %d MiB", r.url, maxAnswerBytes>>20)
	case resp.StatusCode == http.StatusOK && kind == "application/json" && json.Valid(body):
		return body, nil
	case kind == problem.ContentType:
		return nil, r.refused(resp, body)
	}
	return nil, r.stranger(resp)
}

// document reads a document as what the schema says it is.
func document[T any](raw json.RawMessage, err error) (T, json.RawMessage, error) {
	var read T
	if err != nil {
		return read, nil, err
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		e := problem.Wrap(problem.Internal, err, "the console's answer is not what the API promises")
		e.NextStep = "Compare the versions of `fenflow version` and of the console."
		return read, nil, e
	}
	return read, raw, nil
}

func (r remote) away(err error) error {
	if errors.Is(err, context.Canceled) {
		e := problem.New(problem.Unavailable, "interrupted before the console answered")
		e.NextStep = "What was asked for may have been done all the same: look at `fenflow audit ls`, or run the command again."
		return e
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // its text repeats the address
	}
	e := problem.Wrap(problem.Unhealthy, err, "no answer from the console at "+r.url)
	e.NextStep = "Check that `fenflow console` runs there, or name another address with --url or " + urlVariable + "."
	return e
}

// stranger is who answers, but not as the operators' API does.
func (r remote) stranger(resp *http.Response) error {
	if resp.StatusCode >= http.StatusInternalServerError {
		e := problem.Newf(problem.Unhealthy, "%s answers %s", r.url, plain(resp.Status))
		e.NextStep = "Look whether the console runs behind this address; then run the command again."
		return e
	}
	e := problem.Newf(problem.Config, "%s answers %s, and not as a console does", r.url, plain(resp.Status))
	e.NextStep = howToFindConsole
	return e
}

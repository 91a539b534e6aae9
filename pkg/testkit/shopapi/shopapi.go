// Package shopapi holds answers of real handlers against schema/openapi-shop.yaml.
//
// Its job: read the schema, make it stricter (no object has a field that the
// schema does not name), and fail a test whose request or answer is not in it.
//
// Its neighbours: the tests of ingest and front, which serve half of its
// addresses each, and of what answers them.
//
// What it guarantees: an address, a method, a media type or a field that the
// schema does not have fails the test.
//
// What it leaves to others: what an answer means.
package shopapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"
)

// Schema is the public contract.
type Schema struct {
	Document *openapi3.T
}

// Load reads the schema from a file, and fails the test if it is none.
func Load(t *testing.T, file string) *Schema {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromFile(file)
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()), "its examples are held against it, too")
	document.Servers = nil
	closed := false
	for _, s := range document.Components.Schemas {
		if s.Value.Type.Is("object") {
			s.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &closed}
		}
	}
	return &Schema{document}
}

// Routes are the addresses below a path, with the methods of each.
func (s *Schema) Routes(below ...string) map[string][]string {
	routes := map[string][]string{}
	for path, item := range s.Document.Paths.Map() {
		for _, prefix := range below {
			if !strings.HasPrefix(path, prefix) {
				continue
			}
			for method := range item.Operations() {
				routes[path] = append(routes[path], method)
			}
		}
	}
	return routes
}

// Check holds an answer against the schema. body is what the request was sent
// with: the handler has read it. A request that was answered 2xx must be one of
// the schema, too.
func (s *Schema) Check(t *testing.T, r *http.Request, body string, status int, header http.Header, answer string) {
	t.Helper()
	route, parameters := s.find(r)
	require.NotNil(t, route, "%s %s is not in the schema", r.Method, r.URL)
	r.Body = io.NopCloser(strings.NewReader(body))
	options := &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		ExcludeRequestBody: !isJSON(r.Header), ExcludeResponseBody: !isJSON(header), // what is no JSON has no shape to look at
	}
	asked := &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route, Options: options}
	if status < http.StatusBadRequest {
		require.NoError(t, openapi3filter.ValidateRequest(t.Context(), asked), "%s %s: %s", r.Method, r.URL, body)
	}
	require.NoError(t, openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: status, Header: header, Body: io.NopCloser(strings.NewReader(answer)), Options: options,
	}), "%s %s: %s", r.Method, r.URL, answer)
	allowed := route.Operation.Responses.Status(status)
	if allowed == nil {
		allowed = route.Operation.Responses.Default()
	}
	if answer != "" {
		require.NotNil(t, allowed.Value.Content.Get(header.Get("Content-Type")), "%s %s is not answered with %s", r.Method, r.URL, header.Get("Content-Type"))
	}
}

// find says which address of the schema a request is for. The library's own
// routers know no parameter within a part of a path.
func (s *Schema) find(r *http.Request) (*routers.Route, map[string]string) {
	for path, item := range s.Document.Paths.Map() {
		shape := parameter.ReplaceAllString(strings.ReplaceAll(path, ".", `\.`), "(?P<$1>[^/]+)")
		found := regexp.MustCompile("^" + shape + "$")
		values := found.FindStringSubmatch(r.URL.Path)
		operation := item.GetOperation(r.Method)
		if values == nil || operation == nil {
			continue
		}
		named := map[string]string{}
		for i, name := range found.SubexpNames()[1:] {
			named[name] = values[i+1]
		}
		return &routers.Route{Spec: s.Document, Path: path, PathItem: item, Method: r.Method, Operation: operation}, named
	}
	return nil, nil
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

func isJSON(header http.Header) bool { return strings.Contains(header.Get("Content-Type"), "json") }

// Is holds a document against a named schema.
func (s *Schema) Is(t *testing.T, name string, document []byte) {
	t.Helper()
	require.Contains(t, s.Document.Components.Schemas, name)
	var value any
	require.NoError(t, json.Unmarshal(document, &value), string(document))
	require.NoError(t, s.Document.Components.Schemas[name].Value.VisitJSON(value), "%s: %s", name, bytes.TrimSpace(document))
}

// Example is the example of a named schema, as JSON.
func (s *Schema) Example(t *testing.T, name string) string {
	t.Helper()
	require.Contains(t, s.Document.Components.Schemas, name)
	raw, err := json.Marshal(s.Document.Components.Schemas[name].Value.Example)
	require.NoError(t, err)
	require.NotEqual(t, "null", string(raw), "%s has no example", name)
	return string(raw)
}

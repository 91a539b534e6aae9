package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// parseJSON reads a mini program's message into the same fields as XML has. A
// name that comes twice is refused at the top and counted below, as there.
func parseJSON(text []byte) (map[string]string, error) {
	if !utf8.Valid(text) {
		return nil, reject(RejectMalformed, "the JSON is not UTF-8")
	}
	r := &jsonReader{decoder: json.NewDecoder(bytes.NewReader(text)), tree: newFieldTree()}
	r.decoder.UseNumber()
	if token, err := r.decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, notJSON()
	}
	if rejected := r.object(); rejected != nil {
		return nil, rejected
	}
	if _, err := r.decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, reject(RejectMalformed, "something follows the JSON")
	}
	return r.tree.fields, nil
}

type jsonReader struct {
	decoder *json.Decoder
	tree    *fieldTree
}

// object reads members up to the closing brace. The tree bounds the depth.
func (r *jsonReader) object() *RejectError {
	for r.decoder.More() {
		token, err := r.decoder.Token()
		name, named := token.(string)
		if err != nil || !named {
			return notJSON()
		}
		if rejected := r.member(name); rejected != nil {
			return rejected
		}
	}
	return r.closing()
}

func (r *jsonReader) member(name string) *RejectError {
	if rejected := r.tree.enter(name); rejected != nil {
		return rejected
	}
	text, rejected := r.value()
	if rejected != nil {
		return rejected
	}
	r.tree.leave(text)
	return nil
}

func (r *jsonReader) value() (string, *RejectError) {
	token, err := r.decoder.Token()
	if err != nil {
		return "", notJSON()
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return "", r.object()
		}
		return "", r.list()
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", nil // null
}

// list names its entries as XML's repeated elements are named.
func (r *jsonReader) list() *RejectError {
	for r.decoder.More() {
		if rejected := r.member("item"); rejected != nil {
			return rejected
		}
	}
	return r.closing()
}

func (r *jsonReader) closing() *RejectError {
	if _, err := r.decoder.Token(); err != nil {
		return notJSON()
	}
	return nil
}

func notJSON() *RejectError { return reject(RejectMalformed, "the JSON is not well-formed") }

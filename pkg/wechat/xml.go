package wechat

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// parseXML reads a message's XML: elements and text below one <xml>. DOCTYPE,
// entities of one's own, comments, attributes and name spaces are refused:
// WeChat sends none, and each is a way in.
func parseXML(text []byte) (map[string]string, error) {
	if !utf8.Valid(text) {
		return nil, reject(RejectMalformed, "the XML is not UTF-8")
	}
	r := &xmlReader{decoder: xml.NewDecoder(bytes.NewReader(text)), tree: newFieldTree()}
	for {
		token, err := r.decoder.RawToken()
		if errors.Is(err, io.EOF) && r.done {
			return r.tree.fields, nil
		}
		if err != nil {
			return nil, reject(RejectMalformed, "the XML is not well-formed")
		}
		r.tokens++
		if rejected := r.take(token); rejected != nil {
			return nil, rejected
		}
	}
}

// xmlReader walks the tokens of one message.
type xmlReader struct {
	decoder *xml.Decoder
	tree    *fieldTree
	names   []string // of the elements that are open, the root first
	text    strings.Builder
	tokens  int
	done    bool
}

func (r *xmlReader) take(token xml.Token) *RejectError {
	switch t := token.(type) {
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		return r.end(t)
	case xml.CharData:
		return r.chars(t)
	case xml.ProcInst:
		if t.Target == "xml" && r.tokens == 1 {
			return nil
		}
		return reject(RejectMalformed, "the XML holds a processing instruction")
	case xml.Directive:
		return reject(RejectMalformed, "the XML holds a DOCTYPE or another directive")
	}
	return reject(RejectMalformed, "the XML holds a comment")
}

func (r *xmlReader) start(t xml.StartElement) *RejectError {
	if t.Name.Space != "" || len(t.Attr) > 0 {
		return reject(RejectMalformed, "the XML holds a name space or an attribute")
	}
	if len(r.names) == 0 {
		if r.done || t.Name.Local != "xml" {
			return reject(RejectMalformed, "the XML's root is not one <xml>")
		}
	} else {
		if strings.TrimSpace(r.text.String()) != "" {
			return reject(RejectMalformed, "the XML holds text between its elements")
		}
		if rejected := r.tree.enter(t.Name.Local); rejected != nil {
			return rejected
		}
	}
	r.names = append(r.names, t.Name.Local)
	r.text.Reset()
	return nil
}

// end checks the pairing, which RawToken leaves to its caller.
func (r *xmlReader) end(t xml.EndElement) *RejectError {
	last := len(r.names) - 1
	if last < 0 || t.Name.Space != "" || t.Name.Local != r.names[last] {
		return reject(RejectMalformed, "the XML closes an element that is not open")
	}
	text := r.text.String()
	if (last == 0 || r.tree.holdsElements()) && strings.TrimSpace(text) != "" {
		return reject(RejectMalformed, "the XML holds text between its elements")
	}
	if last > 0 {
		r.tree.leave(text)
	}
	r.names, r.done = r.names[:last], last == 0
	r.text.Reset()
	return nil
}

func (r *xmlReader) chars(t xml.CharData) *RejectError {
	if len(r.names) == 0 && len(bytes.TrimSpace(t)) > 0 {
		return reject(RejectMalformed, "the XML holds text outside its root")
	}
	_, _ = r.text.Write(t)
	return nil
}

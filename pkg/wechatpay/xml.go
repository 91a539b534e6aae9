package wechatpay

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds of a v2 message: real ones have about 25 elements and 2 KiB.
const (
	maxXMLBytes    = 64 << 10
	maxXMLElements = 200
	maxXMLName     = 64
)

// fieldsV2 are the elements of a v2 message, name to text. All of them take
// part in the signature, known or not.
type fieldsV2 map[string]string

// parseXML reads the one shape that v2 has: a root element with text elements
// in it. DOCTYPE, entities of one's own, comments, attributes, name spaces,
// deeper nesting and repeated names are refused: none is ever sent, and each
// is a way to make signer and reader see different things (CVE-2018-13439).
func parseXML(text []byte, root string) (fieldsV2, *VerifyError) {
	if len(text) > maxXMLBytes {
		return nil, reject(ReasonBodyTooLarge, "the XML has %d bytes, and at most %d are read", len(text), maxXMLBytes)
	}
	if !utf8.Valid(text) {
		return nil, reject(ReasonMalformed, "the XML is not UTF-8")
	}
	r := &xmlReader{decoder: xml.NewDecoder(bytes.NewReader(text)), root: root, fields: fieldsV2{}}
	r.decoder.Strict = true
	if rejected := r.read(); rejected != nil {
		return nil, rejected
	}
	return r.fields, nil
}

// xmlReader walks the tokens of one message.
type xmlReader struct {
	decoder *xml.Decoder
	root    string
	fields  fieldsV2
	depth   int // 0 outside, 1 in the root, 2 in a field
	done    bool
	tokens  int
	name    string
	text    strings.Builder
}

func (r *xmlReader) read() *VerifyError {
	for {
		token, err := r.decoder.RawToken()
		if errors.Is(err, io.EOF) {
			if !r.done {
				return reject(ReasonMalformed, "the XML ends early")
			}
			return nil
		}
		if err != nil {
			return reject(ReasonMalformed, "the XML is not well-formed")
		}
		r.tokens++
		if rejected := r.take(token); rejected != nil {
			return rejected
		}
	}
}

func (r *xmlReader) take(token xml.Token) *VerifyError {
	switch t := token.(type) {
	case xml.StartElement:
		return r.open(t)
	case xml.EndElement:
		return r.close(t)
	case xml.CharData:
		return r.chars(t)
	case xml.ProcInst:
		if t.Target == "xml" && r.tokens == 1 {
			return nil
		}
		return reject(ReasonMalformed, "the XML holds a processing instruction")
	case xml.Directive:
		return reject(ReasonMalformed, "the XML holds a DOCTYPE or another directive")
	}
	return reject(ReasonMalformed, "the XML holds a comment")
}

func (r *xmlReader) open(t xml.StartElement) *VerifyError {
	name := t.Name.Local
	switch {
	case t.Name.Space != "" || len(t.Attr) > 0:
		return reject(ReasonMalformed, "the XML holds a name space or an attribute")
	case r.depth == 0 && (r.done || name != r.root):
		return reject(ReasonMalformed, "the XML's root is not one <%s>", r.root)
	case r.depth >= 2:
		return reject(ReasonMalformed, "the XML is nested too deeply")
	}
	r.depth++
	if r.depth == 1 {
		r.name = name
		return nil
	}
	if !plainName(name) {
		return reject(ReasonMalformed, "the XML holds an element with an unusual name")
	}
	if _, twice := r.fields[name]; twice {
		return reject(ReasonMalformed, "the XML holds %s twice", name)
	}
	if len(r.fields) == maxXMLElements {
		return reject(ReasonMalformed, "the XML holds more than %d elements", maxXMLElements)
	}
	r.fields[name] = ""
	r.name = name
	r.text.Reset()
	return nil
}

// close checks what xml.Decoder.Token would: RawToken leaves the pairing to us
// and keeps nothing that grows with depth.
func (r *xmlReader) close(t xml.EndElement) *VerifyError {
	if r.depth == 0 || t.Name.Space != "" || t.Name.Local != r.expected() {
		return reject(ReasonMalformed, "the XML closes an element that is not open")
	}
	if r.depth == 2 {
		r.fields[r.name] = r.text.String()
	}
	r.depth--
	r.done = r.depth == 0
	return nil
}

func (r *xmlReader) expected() string {
	if r.depth == 1 {
		return r.root
	}
	return r.name
}

func (r *xmlReader) chars(t xml.CharData) *VerifyError {
	if r.depth == 2 {
		_, _ = r.text.Write(t)
		return nil
	}
	if len(bytes.TrimSpace(t)) > 0 {
		return reject(ReasonMalformed, "the XML holds text outside its elements")
	}
	return nil
}

func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return name != "" && len(name) <= maxXMLName
}

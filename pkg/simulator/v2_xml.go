package simulator

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

const (
	// maxXMLBytes is far above any documented v2 message.
	maxXMLBytes = 64 << 10
	// maxXMLElements keeps a message of tiny elements from costing more than its size.
	maxXMLElements = 128
)

// parseV2 reads one flat XML message: a root named xml, and below it elements that
// hold text and nothing else. All that XML can do beyond that, and that has been
// used against parsers of this protocol (CVE-2018-13439, CVE-2019-5312), is
// refused: document types, entities of one's own, processing instructions,
// comments, attributes, namespaces, nesting, an element twice.
func parseV2(body []byte) (v2Fields, error) {
	// encoding/xml reads a document type as one directive; a plain search also
	// finds one that is broken.
	if upper := bytes.ToUpper(body); bytes.Contains(upper, []byte("<!DOCTYPE")) || bytes.Contains(upper, []byte("<!ENTITY")) {
		return nil, errors.New("a document type or entity is declared")
	}
	p := v2Parser{decoder: xml.NewDecoder(bytes.NewReader(body)), fields: v2Fields{}, name: regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)}
	for {
		token, err := p.decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New("it is not well-formed")
		}
		if err := p.take(token); err != nil {
			return nil, err
		}
	}
	if !p.ended {
		return nil, errors.New("there is no element xml")
	}
	return p.fields, nil
}

// v2Parser is where in the message the reader is.
type v2Parser struct {
	decoder        *xml.Decoder
	name           *regexp.Regexp
	fields         v2Fields
	begun, ended   bool
	element, value string
}

func (p *v2Parser) take(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return p.open(t)
	case xml.EndElement:
		return p.shut()
	case xml.CharData:
		if p.element != "" {
			p.value += string(t)
			return nil
		}
		if len(bytes.TrimSpace(t)) > 0 {
			return errors.New("there is text outside of the elements")
		}
		return nil
	case xml.ProcInst:
		if t.Target == "xml" && !p.begun {
			return nil
		}
		return errors.New("there is a processing instruction")
	case xml.Comment:
		return errors.New("there is a comment")
	default:
		return errors.New("there is a directive")
	}
}

func (p *v2Parser) open(t xml.StartElement) error {
	switch {
	case p.ended:
		return errors.New("something follows the element xml")
	case t.Name.Space != "" || len(t.Attr) > 0:
		return errors.New("there is a namespace or an attribute")
	case !p.begun:
		p.begun = true
		if t.Name.Local != "xml" {
			return errors.New("the root element must be xml")
		}
		return nil
	case p.element != "":
		return fmt.Errorf("the element %s holds another one", p.element)
	case !p.name.MatchString(t.Name.Local):
		return errors.New("an element's name is not of letters, digits and _")
	case len(p.fields) == maxXMLElements:
		return fmt.Errorf("there are more than %d elements", maxXMLElements)
	}
	if _, twice := p.fields[t.Name.Local]; twice {
		return fmt.Errorf("the element %s occurs twice", t.Name.Local)
	}
	p.element, p.value = t.Name.Local, ""
	return nil
}

func (p *v2Parser) shut() error {
	if p.element == "" {
		p.ended = true
		return nil
	}
	p.fields[p.element] = strings.Clone(p.value)
	p.element = ""
	return nil
}

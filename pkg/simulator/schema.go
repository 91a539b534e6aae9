package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxJSONDepth is well above the three levels that any documented request has.
const maxJSONDepth = 16

type kind int

const (
	text kind = iota
	whole
	flag
	object
	list
)

// rule describes one request field: what the documentation says, as data, so that
// the requests of a later endpoint are a table and not another parser.
type rule struct {
	name string
	kind kind
	must bool
	// min and max bound the characters of a text, the value of a whole number, the
	// length of a list; max 0 is no bound.
	min, max int64
	// issue says what is wrong with a text, or nothing.
	issue func(string) string
	// inner are an object's fields, or those of a list's objects; a list without
	// them holds texts.
	inner []rule
}

// parseStrict reads one JSON object and holds it against the rules.
func parseStrict(body []byte, rules []rule) (map[string]any, *refusal) {
	if !utf8.Valid(body) {
		return nil, requestError("body", "the body is not UTF-8")
	}
	value, err := decodeJSON(body)
	if err != nil {
		return nil, requestError("body", "the body is not one JSON object: "+err.Error())
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, requestError("body", "the body is not one JSON object")
	}
	return fields, checkObject("#/properties", fields, rules)
}

func checkObject(path string, fields map[string]any, rules []rule) *refusal {
	known := make(map[string]bool, len(rules))
	for _, r := range rules {
		known[r.name] = true
		value, given := fields[r.name]
		at := path + "/" + r.name
		if !given {
			if r.must {
				return paramError(at, "is required")
			}
			continue
		}
		if refused := r.check(at, value); refused != nil {
			return refused
		}
	}
	for _, name := range sortedKeys(fields) {
		if !known[name] {
			refused := paramError(path+"/"+name, "is not a field of this request")
			refused.number = numberUnknownField
			return refused
		}
	}
	return nil
}

func (r rule) check(at string, value any) *refusal {
	switch v := value.(type) {
	case string:
		if r.kind == text {
			return r.checkText(at, v)
		}
	case json.Number:
		if r.kind == whole {
			return r.checkWhole(at, v)
		}
	case bool:
		if r.kind == flag {
			return nil
		}
	case map[string]any:
		if r.kind == object {
			return checkObject(at+"/properties", v, r.inner)
		}
	case []any:
		if r.kind == list {
			return r.checkList(at, v)
		}
	case nil:
		return paramError(at, "must not be null")
	}
	return paramError(at, "must be "+[]string{"a string", "an integer", "a boolean", "an object", "an array"}[r.kind])
}

func (r rule) checkText(at, v string) *refusal {
	if length := int64(utf8.RuneCountInString(v)); length < r.min || r.max > 0 && length > r.max {
		return paramError(at, fmt.Sprintf("must have %d to %d characters, not %d", r.min, r.max, length))
	}
	for _, c := range v {
		if c > 0xffff {
			return paramError(at, "holds a character of four bytes in UTF-8, such as an emoji")
		}
		if c < ' ' || c == 0x7f {
			return paramError(at, "holds a control character")
		}
	}
	if r.issue != nil {
		if issue := r.issue(v); issue != "" {
			return paramError(at, issue)
		}
	}
	return nil
}

func (r rule) checkWhole(at string, v json.Number) *refusal {
	n, err := strconv.ParseInt(v.String(), 10, 64)
	if err != nil {
		return paramError(at, "must be an integer without fraction or exponent")
	}
	if n < r.min || r.max > 0 && n > r.max {
		return paramError(at, fmt.Sprintf("is out of range: %d", n))
	}
	return nil
}

func (r rule) checkList(at string, v []any) *refusal {
	if length := int64(len(v)); length < r.min || r.max > 0 && length > r.max {
		return paramError(at, "has a wrong number of elements")
	}
	item := rule{kind: text}
	if r.inner != nil {
		item = rule{kind: object, inner: r.inner}
	}
	for i, element := range v {
		if refused := item.check(at+"/items/"+strconv.Itoa(i), element); refused != nil {
			return refused
		}
	}
	return nil
}

// decodeJSON reads exactly one value and, unlike encoding/json, refuses a key that
// occurs twice: sender and reader might each believe another one.
func decodeJSON(body []byte) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	value, err := decodeValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return value, nil
}

func decodeValue(decoder *json.Decoder, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, errors.New("it is nested too deeply")
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, errors.New("it is not well-formed")
	}
	switch token {
	case json.Delim('{'):
		return decodeObject(decoder, depth)
	case json.Delim('['):
		return decodeList(decoder, depth)
	}
	return token, nil
}

func decodeObject(decoder *json.Decoder, depth int) (any, error) {
	fields := map[string]any{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, errors.New("it is not well-formed")
		}
		name, _ := key.(string)
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("the key %q occurs twice", name)
		}
		if fields[name], err = decodeValue(decoder, depth+1); err != nil {
			return nil, err
		}
	}
	return fields, closing(decoder)
}

func decodeList(decoder *json.Decoder, depth int) (any, error) {
	elements := []any{}
	for decoder.More() {
		element, err := decodeValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	return elements, closing(decoder)
}

func closing(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return errors.New("it is not well-formed")
	}
	return nil
}

package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/problem"
)

// object is one flat JSON object, read strictly: encoding/json alone takes the
// last of two equal names, matches names in any case, and mends bad UTF-8. In
// an order for money each of those is a way to mean two things at once.
type object map[string]json.RawMessage

// parseObject reads exactly one object. Bytes that are no such thing are an
// error; names that are there twice are reported as fields.
func parseObject(raw []byte) (object, []problem.Field, error) {
	if !utf8.Valid(raw) {
		return nil, nil, errors.New("the body is not UTF-8")
	}
	if bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")) {
		return nil, nil, errors.New("the body begins with a byte order mark (EF BB BF); send UTF-8 without one")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return nil, nil, errors.New("the body is not a JSON object")
	}
	fields, twice, err := readMembers(dec)
	if err != nil {
		return nil, nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("there is something after the JSON object")
	}
	return fields, twice, nil
}

func readMembers(dec *json.Decoder) (object, []problem.Field, error) {
	fields := object{}
	var twice []problem.Field
	for dec.More() {
		token, err := dec.Token()
		name, isName := token.(string)
		if err != nil || !isName {
			return nil, nil, broken(dec)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, broken(dec)
		}
		if _, seen := fields[name]; seen {
			twice = append(twice, problem.Field{Field: clip(name), Message: "is there more than once"})
			continue
		}
		fields[name] = value
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, nil, broken(dec)
	}
	return fields, twice, nil
}

// broken says where reading stopped. The decoder's own words may quote the
// body, which goes into no error.
func broken(dec *json.Decoder) error {
	return fmt.Errorf("the body is not valid JSON near byte %d", dec.InputOffset())
}

// kindOf names a JSON value for a person.
func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

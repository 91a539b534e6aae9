package wechatpay

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// writeXML writes a v2 message: elements in order of their names, empty ones
// left out, all text escaped. What XML cannot carry is refused: the encoder
// would replace it, and WeChat Pay would verify another text than we signed.
func writeXML(fields fieldsV2) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("<xml>")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		if value == "" {
			continue
		}
		if !plainName(name) || !inXML(value) {
			return nil, fmt.Errorf("%s holds characters that XML has no place for", clip(name))
		}
		out.WriteString("<" + name + ">")
		if err := xml.EscapeText(&out, []byte(value)); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		out.WriteString("</" + name + ">")
	}
	out.WriteString("</xml>")
	if out.Len() > maxXMLBytes {
		return nil, fmt.Errorf("the message has %d bytes, and at most %d are sent", out.Len(), maxXMLBytes)
	}
	return out.Bytes(), nil
}

// inXML: the characters of XML 1.0, section 2.2.
func inXML(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

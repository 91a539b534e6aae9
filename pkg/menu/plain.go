package menu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// plain writes JSON once more with every character as it is: on its way here "&"
// became \u0026, and whoever made the file may have written Chinese as \u4eca.
// WeChat takes such a name or address for what it looks like. Order and fields stay.
func plain(raw json.RawMessage) (json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	w := plainWriter{}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && len(w.levels) == 0 {
			return w.out.Bytes(), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the menu: %w", err)
		}
		if err := w.take(token); err != nil {
			return nil, fmt.Errorf("write the menu: %w", err)
		}
	}
}

// plainWriter writes tokens, with what stands between them.
type plainWriter struct {
	out    bytes.Buffer
	levels []level
}

// level is an object or a list that is open; in an object names and values take turns.
type level struct {
	object bool
	count  int
}

func (w *plainWriter) take(token json.Token) error {
	delim, isDelim := token.(json.Delim)
	if isDelim && (delim == '}' || delim == ']') {
		w.levels = w.levels[:len(w.levels)-1]
		w.out.WriteRune(rune(delim))
		return nil
	}
	w.separate()
	if isDelim {
		w.levels = append(w.levels, level{object: delim == '{'})
		w.out.WriteRune(rune(delim))
		return nil
	}
	enc := json.NewEncoder(&w.out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(token)
	w.out.Truncate(w.out.Len() - 1) // the line's end
	return err                      //nolint:wrapcheck // strings and numbers always marshal
}

func (w *plainWriter) separate() {
	if len(w.levels) == 0 {
		return
	}
	at := &w.levels[len(w.levels)-1]
	switch {
	case at.object && at.count%2 == 1:
		w.out.WriteByte(':')
	case at.count > 0:
		w.out.WriteByte(',')
	}
	at.count++
}

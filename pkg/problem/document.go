package problem

import "errors"

// ContentType is the media type of a Document (RFC 9457).
const ContentType = "application/problem+json"

// typeBase is where the codes are explained.
const typeBase = "https://github.com/fenflow/fenflow/blob/main/docs/reference/errors.md#"

// Document is a problem as the outside sees it (RFC 9457), with our code and
// next step as extension members.
type Document struct {
	Type     string  `json:"type"`
	Title    string  `json:"title"`
	Status   int     `json:"status"`
	Detail   string  `json:"detail,omitempty"`
	Code     string  `json:"code"`
	NextStep string  `json:"next_step"`
	Instance string  `json:"instance,omitempty"`
	Errors   []Field `json:"errors,omitempty"`
}

// Document describes the kind without any detail.
func (e Entry) Document() Document {
	return Document{Type: typeBase + anchor(e.Code), Title: e.Title, Status: e.Status, Code: e.Code, NextStep: e.NextStep}
}

// DocumentOf describes an error for the outside. Only what was meant for the
// outside is in it: an error without a kind shows its code and nothing else.
func DocumentOf(err error, instance string) Document {
	d := EntryOf(err).Document()
	d.Instance = instance
	var e *Error
	if errors.As(err, &e) {
		d.Detail, d.Errors = e.Detail, e.Fields
		if e.NextStep != "" {
			d.NextStep = e.NextStep
		}
	}
	return d
}

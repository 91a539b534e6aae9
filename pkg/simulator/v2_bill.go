package simulator

import (
	"errors"
	"time"
)

// billErrorV2 goes with "No Bill Exist". That "Bill Creating" and a wrong date share
// it, and the name of its element, is this stand-in's choice.
const billErrorV2 = "20002"

func downloadBillRules() []rule {
	return []rule{
		{name: "bill_date", must: true, min: 8, max: 8, issue: func(v string) string {
			_, err := time.Parse("20060102", v)
			return unless(err == nil, "must read yyyyMMdd")
		}},
		{name: "bill_type", max: 16, issue: oneOf(billAll, billSuccess, billRefund)},
		{name: "tar_type", max: 8, issue: oneOf(gzipped)},
	}
}

// downloadBillV2 answers with the file itself, or with XML that says why not.
func (s *Simulator) downloadBillV2(c *v2Call) ([]byte, string, error) {
	day, _ := time.Parse("20060102", c.fields["bill_date"]) // checked by its rule
	kind := c.fields["bill_type"]
	if kind == "" {
		kind = billAll
	}
	text, err := s.tradeBillOf(day.Format(time.DateOnly), kind)
	if err != nil {
		return nil, "", billRefusedV2(err)
	}
	body, err := billFile{text: text, gzip: c.fields["tar_type"] == gzipped}.body()
	return body.bytes, body.contentType, err
}

func billRefusedV2(err error) error {
	var refused *refusal
	if !errors.As(err, &refused) {
		return err
	}
	message := "invalid bill_date"
	switch refused.code {
	case "NO_STATEMENT_EXIST":
		message = "No Bill Exist"
	case "STATEMENT_CREATING":
		message = "Bill Creating"
	}
	return &v2Error{broken: true, code: refused.code, message: message, number: billErrorV2, log: []any{"reason", refused.message}}
}

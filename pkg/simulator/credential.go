package simulator

import "time"

// renewal is a fresh credential for an order that was placed before: from now on
// only the last one is on the page.
type renewal struct {
	OutTradeNo string    `json:"out_trade_no"`
	Credential string    `json:"credential"`
	At         time.Time `json:"at"`
}

// credentialIn is the one text that a prepay answer hands out.
func credentialIn(answer reply) string {
	fields, _ := answer.body.(map[string]string)
	for _, value := range fields {
		return value
	}
	return ""
}

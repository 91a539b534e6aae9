package pay

import "fmt"

// Fen is an amount of money: 1/100 yuan. Money is never a float here.
type Fen int64

// String prints yuan with two decimals, for people.
func (f Fen) String() string {
	sign := ""
	if f < 0 {
		sign, f = "-", -f
	}
	return fmt.Sprintf("%s%d.%02d", sign, int64(f)/100, int64(f)%100)
}

// CNY is the only currency that domestic orders are made in
// (WeChat Pay doc 4012791834, amount.currency).
const CNY = "CNY"

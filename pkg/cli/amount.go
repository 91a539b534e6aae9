package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// yuanShape has exactly two decimals: "8.8" may be meant as 8.80 or as 8.08, and
// "8" as yuan or as fen.
var yuanShape = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.([0-9]{2})$`)

// fenShape has no leading zero: the usual flags of numbers take 0100 for 64, and
// 0x64 for 100.
var fenShape = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,17})$`)

// wholeFen is a flag that holds a number of fen in plain decimal digits.
type wholeFen int64

func (f *wholeFen) String() string { return strconv.FormatInt(int64(*f), 10) }
func (f *wholeFen) Type() string   { return "int" }

// Set takes a number as people write it.
func (f *wholeFen) Set(text string) error {
	if !fenShape.MatchString(text) {
		return errors.New("must be a whole number of fen in decimal digits, without a leading zero, such as 880")
	}
	n, err := strconv.ParseInt(text, 10, 64) // eighteen digits at most
	*f = wholeFen(n)
	return err
}

// money is an amount as it is given on a command line, in one of two units.
type money struct {
	yuan string
	fen  wholeFen
}

func (m *money) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.yuan, "amount", "", "how much, in yuan with exactly two decimals, such as 8.80")
	cmd.Flags().Var(&m.fen, "amount-fen", "how much, in fen, such as 880")
	cmd.MarkFlagsMutuallyExclusive("amount", "amount-fen")
	cmd.MarkFlagsOneRequired("amount", "amount-fen")
}

// exact is the amount in fen. No float is in its way.
func (m *money) exact() (pay.Fen, error) {
	if m.yuan == "" {
		if m.fen < 1 {
			return 0, problem.Newf(problem.Usage, "--amount-fen %d: must be a whole number of fen, at least 1", m.fen)
		}
		return pay.Fen(m.fen), nil
	}
	parts := yuanShape.FindStringSubmatch(m.yuan)
	if parts == nil {
		return 0, problem.Newf(problem.Usage, "--amount %q: must be yuan with exactly two decimals, such as 8.80 or 1200.00; --amount-fen takes fen", m.yuan)
	}
	n, err := strconv.ParseInt(parts[1]+parts[2], 10, 64) // eleven digits at most
	if err != nil || n < 1 {
		return 0, problem.Newf(problem.Usage, "--amount %q: must be at least 0.01", m.yuan)
	}
	return pay.Fen(n), nil
}

// both says an amount in both units, so that nobody takes one for the other.
func both(fen int64, currency string) string {
	return fmt.Sprintf("%s (%d fen)", amount(fen, currency), fen)
}

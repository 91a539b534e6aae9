package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const refundCreateLong = `Give money back: one refund, under a number that you choose once.

Every rule of a shop's refund holds: the parts of a payment together are at most what was paid, at most 50 of them, a minute
apart. The same number with the same order, payment, amount and --buyer-reason is the same refund, however often and from
whichever side it is asked for; anything else under it is refused. After an error run the same command again; never take a
new number because an answer did not come. --reason is for the audit log and no part of the refund.

Exit codes: 0 the refund stands, 5 it has failed or is closed, it was refused, or you declined`

func (c *commandLine) refundCreate() *cobra.Command {
	var how money
	var order, transaction, mchid, toBuyer, reason string
	var yes bool
	create := c.asks("create OUT_REFUND_NO", "Give money back, for a reason", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		fen, err := how.exact()
		if err != nil {
			return answer{}, err
		}
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		what := fmt.Sprintf("Give back %s of %s as refund %s", both(int64(fen), "CNY"), paymentNamed(order, transaction), args[0])
		if meant, err := c.sure(ctx, what, yes); err != nil || !meant {
			return declined(), err
		}
		s, raw, err := document[operatorapi.RefundStory](api.ask(ctx)(operatorapi.NewRequestRefundRequest(api.base(), operatorapi.RefundRequest{
			OutRefundNo: args[0], OutTradeNo: given[string](order), TransactionID: given[string](transaction), Mchid: given[string](mchid),
			AmountFen: int64(fen), BuyerReason: given[string](toBuyer), Reason: why,
		})))
		if err != nil {
			return answer{}, err
		}
		a := answer{document: raw, text: refundNowText(&s)}
		if ended := pay.RefundState(s.Refund.State); ended == pay.RefundFailed || ended == pay.RefundClosed {
			a.text += "Nothing goes back under this number: take a new number if it is still wanted.\n"
			a.exit = problem.ExitRefused
		}
		return a, nil
	})
	create.Long = refundCreateLong
	how.flags(create)
	create.Flags().StringVar(&order, "order", "", "the out_trade_no whose payment goes back")
	create.Flags().StringVar(&transaction, "transaction", "", "the transaction_id of the payment that goes back; needed for money that paid no order")
	create.MarkFlagsOneRequired("order", "transaction")
	create.Flags().StringVar(&mchid, "mchid", "", "the merchant, where several use the number of the order")
	create.Flags().StringVar(&toBuyer, "buyer-reason", "", "what the buyer is shown, 80 characters; part of the refund (the business API calls it reason)")
	because(create, &reason)
	create.Flags().BoolVar(&yes, "yes", false, "do not ask whether it is meant")
	return create
}

func paymentNamed(order, transaction string) string {
	var parts []string
	if transaction != "" {
		parts = append(parts, "payment "+transaction)
	}
	if order != "" {
		parts = append(parts, "order "+order)
	}
	return strings.Join(parts, " of ")
}

// refundNow tells of a refund after an act.
func (c *commandLine) refundNow(raw json.RawMessage, err error) (answer, error) {
	s, raw, err := document[operatorapi.RefundStory](raw, err)
	if err != nil {
		return answer{}, err
	}
	return answer{document: raw, text: refundNowText(&s)}, nil
}

func refundNowText(s *operatorapi.RefundStory) string {
	r := &s.Refund
	text := fmt.Sprintf("Refund %s of %s of order %s, merchant %s, is %s", plain(r.OutRefundNo), both(r.AmountFen, r.Currency), plain(r.OutTradeNo), plain(r.Mchid), plain(string(r.State)))
	if code := value(r.FailureCode); code != "" {
		text += " (" + plain(code) + ")"
	}
	text += ".\n"
	if s.Next != nil {
		text += "Next: " + plain(nextCall(s.Next)) + "; " + plain(s.Next.Why) + ".\n"
	}
	return text
}

func (c *commandLine) refundRetry() *cobra.Command {
	var mchid, reason string
	retry := c.asks("retry NUMBER", "Take up a refund that waits at once, for a reason", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		number, err := theNumber(args[0])
		if err != nil {
			return answer{}, err
		}
		return c.refundNow(api.ask(ctx)(operatorapi.NewRetryRefundRequest(api.base(), number, &operatorapi.RetryRefundParams{Mchid: given[string](mchid)}, operatorapi.Reason{Reason: why})))
	})
	retry.Long = "Take up a refund that waits at once, for a reason: after the account was topped up, or what blocked it was put right.\n\n" +
		"The next call, as `fenflow refund show` tells it, is due now; nothing is sent that would not be sent anyway. While an\nattempt of unknown outcome may still be under way it is refused: that wait is never shortened"
	refundMchid(retry, &mchid)
	because(retry, &reason)
	return retry
}

const refundAbnormalLong = `Say where the money of an abnormal refund shall go, because the buyer's account cannot take it, for a reason.

--to-merchant sends it to the merchant's own account, for paying the buyer by other means. --to-user-bank sends it to a card of
the buyer's: its number and the holder's name are read from --card, two lines, and never from the command line, which everybody
on this machine can read. They are encrypted to WeChat Pay before anything is stored; no log and no audit entry holds them`

func (c *commandLine) refundAbnormal() *cobra.Command {
	var mchid, reason, bank, card string
	var merchant, yes bool
	abnormal := c.asks("abnormal NUMBER", "Say where the money of an abnormal refund shall go, for a reason", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		s, _, err := api.theRefund(ctx, args[0], mchid)
		if err != nil {
			return answer{}, err
		}
		wish := operatorapi.AbnormalWish{Type: operatorapi.MERCHANTBANKCARD, Reason: why}
		to := "the merchant's own account"
		if !merchant {
			if wish, err = c.userCard(bank, card, why); err != nil {
				return answer{}, err
			}
			to = "the card in " + card + " (" + bank + ")"
		}
		r := &s.Refund
		if meant, err := c.sure(ctx, fmt.Sprintf("Send the %s of refund %s to %s", both(r.AmountFen, r.Currency), r.OutRefundNo, to), yes); err != nil || !meant {
			return declined(), err
		}
		return c.refundNow(api.ask(ctx)(operatorapi.NewDriveRefundOnRequest(api.base(), r.OutRefundNo, &operatorapi.DriveRefundOnParams{Mchid: &r.Mchid}, wish)))
	})
	abnormal.Long = refundAbnormalLong
	abnormal.Flags().BoolVar(&merchant, "to-merchant", false, "to the merchant's own account")
	abnormal.Flags().StringVar(&bank, "to-user-bank", "", "to a card of the buyer's at this bank, by WeChat Pay's name for it, such as ICBC_DEBIT")
	abnormal.Flags().StringVar(&card, "card", "", "file with the card's number and, on the second line, the holder's name; - is stdin")
	abnormal.MarkFlagsOneRequired("to-merchant", "to-user-bank")
	abnormal.MarkFlagsMutuallyExclusive("to-merchant", "to-user-bank")
	abnormal.MarkFlagsMutuallyExclusive("to-merchant", "card")
	refundMchid(abnormal, &mchid)
	because(abnormal, &reason)
	abnormal.Flags().BoolVar(&yes, "yes", false, "do not ask whether it is meant")
	return abnormal
}

// maxCardBytes is far beyond a number and a name.
const maxCardBytes = 1 << 10

// userCard reads the card. No error repeats what was read.
func (c *commandLine) userCard(bank, file, why string) (operatorapi.AbnormalWish, error) {
	raw, err := c.cardBytes(file)
	if err != nil {
		return operatorapi.AbnormalWish{}, err
	}
	var lines []string
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) != 2 {
		return operatorapi.AbnormalWish{}, problem.New(problem.Usage, "--card must hold two lines: the card's number, and the holder's name")
	}
	return operatorapi.AbnormalWish{Type: operatorapi.USERBANKCARD, BankType: &bank, BankAccount: &lines[0], RealName: &lines[1], Reason: why}, nil
}

func (c *commandLine) cardBytes(file string) ([]byte, error) {
	switch {
	case file == "":
		return nil, problem.New(problem.Usage, "--card must name a file that holds the card's number and the holder's name; - is stdin")
	case file == "-" && (c.Pipe == nil || c.Stdin != nil):
		return nil, problem.New(problem.Usage, "--card -: nothing is piped in, and what is typed would stand on the screen; pipe it in, or name a file")
	}
	return c.input("--card", file, maxCardBytes)
}

const refundGiveUpLong = `End a refund that WeChat Pay does not have, for a reason, and free its money for another one.

A refund that was rejected for good fails by itself once WeChat Pay has signed that it has no such refund; where it never signs
that, or where the refund is blocked for ever, this says it in your name. WeChat Pay is asked once more: only if it says that it
has no such refund, and no call can still be under way, is the refund failed. In every other case the command is refused and the
refund goes on. Should WeChat Pay own up to it later, it is booked all the same: look in the merchant platform before you give
the money back under another number`

func (c *commandLine) refundGiveUp() *cobra.Command {
	var mchid, reason string
	var yes bool
	giveUp := c.asks("give-up NUMBER", "End a refund that WeChat Pay does not have, for a reason", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		s, _, err := api.theRefund(ctx, args[0], mchid)
		if err != nil {
			return answer{}, err
		}
		r := &s.Refund
		if meant, err := c.sure(ctx, fmt.Sprintf("End refund %s of %s, if WeChat Pay says that it has no such refund", r.OutRefundNo, both(r.AmountFen, r.Currency)), yes); err != nil || !meant {
			return declined(), err
		}
		return c.refundNow(api.ask(ctx)(operatorapi.NewGiveUpRefundRequest(api.base(), r.OutRefundNo, &operatorapi.GiveUpRefundParams{Mchid: &r.Mchid}, operatorapi.Reason{Reason: why})))
	})
	giveUp.Long = refundGiveUpLong
	refundMchid(giveUp, &mchid)
	because(giveUp, &reason)
	giveUp.Flags().BoolVar(&yes, "yes", false, "do not ask whether it is meant")
	return giveUp
}

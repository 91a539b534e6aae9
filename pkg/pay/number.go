package pay

import (
	"fmt"
	"regexp"
)

// MchID is a merchant number given by WeChat Pay, such as "1900000109".
type MchID string

// AppID names an official account, mini program or app, such as "wx8888888888888888".
type AppID string

// OutTradeNo is the merchant's own order number, unique per merchant.
type OutTradeNo string

// TransactionID is WeChat Pay's number of one payment.
type TransactionID string

// OutRefundNo is the merchant's own refund number, unique per merchant.
type OutRefundNo string

// OpenID is a payer as one appid sees them.
type OpenID string

// DeliveryID is the UUIDv7 that ingest gives to a notification on arrival;
// every copy, redelivery and replay keeps it.
type DeliveryID string

// CommandID is the UUIDv7 of one command of a shop.
type CommandID string

// Shapes of numbers from the outside. Order numbers: 6 to 32 characters
// (WeChat Pay doc 4012791834); mchid and appid: at most 32.
var (
	mchIDShape       = regexp.MustCompile(`^[0-9]{8,32}$`)
	outTradeNoShape  = regexp.MustCompile(`^[0-9A-Za-z_\-|*]{6,32}$`)
	outRefundNoShape = regexp.MustCompile(`^[0-9A-Za-z_\-|*@]{1,64}$`) // WeChat Pay doc 4012791862
	appIDShape       = regexp.MustCompile(`^[0-9A-Za-z_\-]{1,32}$`)
)

// ParseMchID checks the shape of a merchant number.
func ParseMchID(s string) (MchID, error) {
	if !mchIDShape.MatchString(s) {
		return "", fmt.Errorf("mchid must be 8 to 32 digits, got %d characters", len(s))
	}
	return MchID(s), nil
}

// ParseOutTradeNo checks the shape of a merchant's order number.
func ParseOutTradeNo(s string) (OutTradeNo, error) {
	if !outTradeNoShape.MatchString(s) {
		return "", fmt.Errorf("out_trade_no must be 6 to 32 of 0-9 A-Z a-z _ - | *, got %d bytes", len(s))
	}
	return OutTradeNo(s), nil
}

// ParseOutRefundNo checks the shape of a merchant's refund number.
func ParseOutRefundNo(s string) (OutRefundNo, error) {
	if !outRefundNoShape.MatchString(s) {
		return "", fmt.Errorf("out_refund_no must be 1 to 64 of 0-9 A-Z a-z _ - | * @, got %d bytes", len(s))
	}
	return OutRefundNo(s), nil
}

// ParseAppID checks the shape of an appid.
func ParseAppID(s string) (AppID, error) {
	if !appIDShape.MatchString(s) {
		return "", fmt.Errorf("appid must be 1 to 32 letters and digits, got %d bytes", len(s))
	}
	return AppID(s), nil
}

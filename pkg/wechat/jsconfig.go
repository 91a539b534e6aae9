package wechat

import (
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// JSConfigParams are what a page passes to wx.config.
type JSConfigParams struct {
	AppID     pay.AppID
	Timestamp int64
	NonceStr  string
	Signature string
}

// JSConfig signs a page's address for wx.config. The caller has checked that
// the page is one of the app's. What follows `#` is not part of what is signed.
func JSConfig(appid pay.AppID, ticket merchant.Secret, url string, now time.Time, nonce string) JSConfigParams {
	page, _, _ := strings.Cut(url, "#")
	stamp := now.Unix()
	signed := "jsapi_ticket=" + ticket.Reveal() + "&noncestr=" + nonce + "&timestamp=" + strconv.FormatInt(stamp, 10) + "&url=" + page
	return JSConfigParams{AppID: appid, Timestamp: stamp, NonceStr: nonce, Signature: sha1Hex(signed)}
}

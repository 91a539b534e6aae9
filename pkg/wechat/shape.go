package wechat

import (
	"regexp"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Shapes of what goes into a URL. The library escapes nothing, so nothing but
// these letters is let through: a code from the internet could otherwise add
// parameters to our call. WeChat asks for room for 512 characters of a token.
var (
	codeShape   = regexp.MustCompile(`^[0-9A-Za-z_-]{1,256}$`)
	tokenShape  = regexp.MustCompile(`^[0-9A-Za-z_-]{1,1000}$`)
	openIDShape = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)
)

// checkApp refuses an app whose id or secret would change the URL.
func (c *call) checkApp(app App) error {
	if _, err := pay.ParseAppID(string(app.ID)); err != nil {
		return c.refused(ClassOther, err.Error())
	}
	if !codeShape.MatchString(app.Secret.Reveal()) {
		return c.refused(ClassSecret, "the AppSecret is empty or holds other characters than letters, digits, _ and -: look at secret_file")
	}
	return nil
}

func (c *call) checkCode(code string) error {
	if !codeShape.MatchString(code) {
		return c.refused(ClassCodeInvalid, "the code does not look like one of WeChat's and was not sent")
	}
	return nil
}

func (c *call) checkToken(token string) error {
	if !tokenShape.MatchString(token) {
		return c.refused(ClassToken, "the token does not look like one of WeChat's and was not sent")
	}
	return nil
}

func (c *call) checkOpenID(openID pay.OpenID) error {
	if !openIDShape.MatchString(string(openID)) {
		return c.refused(ClassOther, "the openid does not look like one of WeChat's")
	}
	return nil
}

// checkAnswered holds the ids in an answer to the same shapes: they are stored
// and come back in later calls. A unionid may be absent.
func (c *call) checkAnswered(openID, unionID string) error {
	if !openIDShape.MatchString(openID) || (unionID != "" && !openIDShape.MatchString(unionID)) {
		return c.unreadable("its answer lacks an openid, or has one of an unusual shape")
	}
	return nil
}

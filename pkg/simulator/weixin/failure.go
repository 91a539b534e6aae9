package weixin

import "fmt"

// failure is a refusal in WeChat's own words.
type failure struct {
	Code    int    `json:"errcode"`
	Message string `json:"errmsg"`
	why     string // for the log: what the caller should look at
}

func (f *failure) Error() string { return fmt.Sprintf("errcode %d: %s", f.Code, f.Message) }

// because adds what helps to find the mistake.
func (f *failure) because(format string, args ...any) *failure {
	f.why = fmt.Sprintf(format, args...)
	return f
}

// The error codes that the paths here answer with (developers.weixin.qq.com, global
// return codes).
const (
	busy                = -1
	invalidCredential   = 40001
	invalidGrantType    = 40002
	invalidOpenid       = 40003
	invalidAppid        = 40013
	invalidToken        = 40014
	invalidCode         = 40029
	invalidRefreshToken = 40030
	invalidParameter    = 40035
	invalidSecret       = 40125
	codeUsed            = 40163
	missingToken        = 41001
	missingAppid        = 41002
	missingRefreshToken = 41003
	missingSecret       = 41004
	missingCode         = 41008
	missingOpenid       = 41009
	tokenExpired        = 42001
	refreshTokenExpired = 42002
	codeExpired         = 42003
	wantsGet            = 43001
	wantsPost           = 43002
	emptyBody           = 44002
	dailyQuota          = 45009
	minuteQuota         = 45011
	noMenu              = 46003
	badFormat           = 47001
	unauthorized        = 48001
)

func messages() map[int]string {
	return map[int]string{
		busy: "system error", invalidCredential: "invalid credential, access_token is invalid or not latest",
		invalidGrantType: "invalid grant_type", invalidOpenid: "invalid openid", invalidAppid: "invalid appid",
		invalidToken: "invalid access_token", invalidCode: "invalid code", invalidRefreshToken: "invalid refresh_token",
		invalidParameter: "invalid parameter", invalidSecret: "invalid appsecret", codeUsed: "code been used",
		missingToken: "access_token missing", missingAppid: "appid missing", missingRefreshToken: "refresh_token missing",
		missingSecret: "appsecret missing", missingCode: "code missing", missingOpenid: "openid missing",
		tokenExpired: "access_token expired", refreshTokenExpired: "refresh_token expired", codeExpired: "code expired",
		wantsGet: "require GET method", wantsPost: "require POST method", emptyBody: "empty post data",
		dailyQuota: "reach max api daily quota limit", minuteQuota: "api minute-quota reach limit, must slower, retry next minute",
		noMenu: "menu no exist", badFormat: "data format error", unauthorized: "api unauthorized",
		40164: "invalid ip 203.0.113.7, not in whitelist", // documentation's address: the stand-in lets all in
		40016: "invalid button size", 40017: "invalid button type", 40018: "invalid button name size",
		40019: "invalid button key size", 40020: "invalid button url size", 40023: "invalid sub button size",
		40025: "invalid sub button name size", 40226: "high risk user, mini program login is forbidden",
	}
}

// refuse makes a failure of a code; unknown ones have no words of their own.
func refuse(code int) *failure {
	message, known := messages()[code]
	if !known {
		message = "error"
	}
	return &failure{Code: code, Message: message}
}

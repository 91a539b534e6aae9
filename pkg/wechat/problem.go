package wechat

import (
	"errors"

	"github.com/fenflow/fenflow/pkg/problem"
)

// Problem gives what went wrong here its kind, for whoever answers a buyer or
// an operator. Errors of elsewhere stay as they are.
func Problem(err error) error {
	var rejected *RejectError
	if errors.As(err, &rejected) {
		return problem.Wrap(problem.NotFromWeChat, err, rejected.Detail)
	}
	switch ClassOf(err) {
	case "":
		return err
	case ClassCodeSpent:
		return problem.Wrap(problem.LoginCodeRefused, err, "this login code was used before")
	case ClassCodeInvalid:
		return problem.Wrap(problem.LoginCodeRefused, err, "WeChat does not know this login code, or it is too old")
	case ClassRiskUser:
		return problem.Wrap(problem.BuyerRefused, err, "WeChat takes this user for a risk")
	case ClassSecret:
		return problem.Wrap(problem.AppRefused, err, "WeChat refuses this app's AppSecret")
	case ClassAddress:
		return problem.Wrap(problem.AppRefused, err, "WeChat does not take calls for this app from our address")
	case ClassRetry, ClassTooOften:
		return problem.Wrap(problem.WeChatUnavailable, err, "WeChat is busy or was not reached")
	case ClassToken:
		return problem.Wrap(problem.WeChatUnavailable, err, "WeChat refuses the access token, and a new one is not to be had yet")
	case ClassOther:
	}
	return problem.Wrap(problem.AppRefused, err, "WeChat refuses this call")
}

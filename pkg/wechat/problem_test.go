package wechat

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
)

func TestProblem_tells_every_class_to_whoever_asked(t *testing.T) {
	t.Parallel()
	for class, want := range map[Class]problem.Kind{
		ClassRetry: problem.WeChatUnavailable, ClassTooOften: problem.WeChatUnavailable, ClassToken: problem.WeChatUnavailable,
		ClassCodeSpent: problem.LoginCodeRefused, ClassCodeInvalid: problem.LoginCodeRefused, ClassRiskUser: problem.BuyerRefused,
		ClassSecret: problem.AppRefused, ClassAddress: problem.AppRefused, ClassOther: problem.AppRefused,
	} {
		err := fmt.Errorf("log in: %w", &APIError{API: "x", Class: class, Code: 7, Message: "m"})
		require.Equal(t, want, problem.KindOf(Problem(err)), class)
		require.NotContains(t, problem.DocumentOf(Problem(err), "").Detail, "7", "the errcode is for the log")
	}
	rejected := Problem(fmt.Errorf("open: %w", reject(RejectStale, "too old")))
	require.Equal(t, problem.NotFromWeChat, problem.KindOf(rejected))
	require.Equal(t, "too old", problem.DocumentOf(rejected, "").Detail)
	plain := errors.New("plain")
	require.Equal(t, plain, Problem(plain))
	require.NoError(t, Problem(nil))
}

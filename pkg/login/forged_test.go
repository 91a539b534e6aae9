package login_test

import (
	"crypto/aes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
)

// What a mini program posts is encrypted and not authenticated: AES-CBC lets whoever
// knows the text choose the first block of what comes out, and begin anywhere. A buyer
// knows the own profile, and chooses the nickname in it.

// spliced is encrypted data of the buyer's own, cut so that it begins with head (16
// characters) and goes on with the nickname.
func spliced(t *testing.T, head, nickname string, more answer) answer {
	t.Helper()
	require.Len(t, head, aes.BlockSize)
	about := answer{"a": "", "nickName": nickname} // json.Marshal sorts by name
	for k, v := range more {
		about[k] = v
	}
	for pad := range aes.BlockSize { // the nickname is to begin with a block
		about["a"] = strings.Repeat("x", pad)
		if at := strings.Index(plainOf(about), nickname); at%aes.BlockSize == 0 {
			break
		}
	}
	data, _ := encrypted(sessionKey, about, string(mini), noon)
	raw, err := base64.StdEncoding.DecodeString(data)
	require.NoError(t, err)
	plain := plainOf(about)
	at := strings.Index(plain, nickname)
	require.Zero(t, at%aes.BlockSize)
	iv, before := make([]byte, aes.BlockSize), raw[at-2*aes.BlockSize:at-aes.BlockSize]
	for i := range iv {
		iv[i] = before[i] ^ plain[at-aes.BlockSize+i] ^ head[i]
	}
	return answer{"encrypted_data": base64.StdEncoding.EncodeToString(raw[at-aes.BlockSize:]), "iv": base64.StdEncoding.EncodeToString(iv)}
}

func TestProgramLogin_takes_no_unionid_from_what_a_buyer_can_forge(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.grants("victim", "open-victim", "snsapi_userinfo", answer{"unionid": union})
	victim := s.comes(answer{"appid": phoneApp, "code": "victim"}).AccountID

	s.programs("thief", "open-thief", nil) // this mini program is bound to no Open Platform account
	question := spliced(t, `{"unionId":"`+union[:4], union[4:], nil)
	question["appid"], question["code"] = mini, "thief"
	_, err := s.login(question)
	require.Equal(t, problem.NotFromWeChat, problem.KindOf(err), "%v", err)

	s.programs("whole", "open-thief", nil) // even one that says all it must
	data, iv := encrypted(sessionKey, answer{"openId": "open-thief", "nickName": "x", "unionId": union}, string(mini), noon)
	thief := s.comes(answer{"appid": mini, "code": "whole", "encrypted_data": data, "iv": iv}).AccountID
	require.NotEqual(t, victim, thief)
	require.Empty(t, s.account(thief).UnionID)
	require.Len(t, s.account(victim).Identities, 1)
}

func TestProgramLogin_takes_no_phone_number_from_a_nickname(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.programs("thief", "open-thief", nil)
	question := spliced(t, `{"phoneNumber":"`, "13800000000", nil)
	question["appid"], question["code"] = mini, "thief"
	_, err := s.login(question)
	require.Equal(t, problem.NotFromWeChat, problem.KindOf(err), "%v", err)
	s.nobodyIsKnown("open-thief")
}

package wechat

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// requireSoundMessage holds for any input: it is refused with a short reason
// that holds nothing of it, or it fits into a bus subject and a key.
func requireSoundMessage(t *testing.T, m Message, err error) {
	t.Helper()
	if err != nil {
		require.NotEmpty(t, ReasonOf(err))
		require.Less(t, len(err.Error()), 300)
		return
	}
	require.Regexp(t, `^[0-9A-Za-z_]{1,64}$`, m.MsgType)
	require.LessOrEqual(t, len(m.DedupKey()), 300)
	require.LessOrEqual(t, len(m.Fields), maxFields)
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(testText))
	f.Add([]byte(eventHead + `<Event>a</Event><L><i>1</i><i><j>2</j></i></L></xml>`))
	f.Add([]byte(`{"MsgType":"text","CreateTime":1,"L":[{"a":true},null,[1]]}`))
	f.Add([]byte(`<!DOCTYPE x><xml/>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMessage(text)
		requireSoundMessage(t, m, err)
	})
}

func FuzzOpenMessage(f *testing.F) {
	q, body := pushed(f, testAppID, keyNow, testText, false)
	f.Add(q.Timestamp, q.Nonce, q.MsgSignature, body, []byte(testText))
	f.Add("", "", "", []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, timestamp, nonce, signature string, body, text []byte) {
		opened, err := OpenMessage(testKeys(), PushQuery{Encrypted: true, Timestamp: timestamp, Nonce: nonce, MsgSignature: signature}, body)
		requireSoundMessage(t, opened.Message, err)
		if err == nil {
			require.Equal(t, testText, string(opened.Message.Raw), "nothing but what was signed is believed")
		}
		if len(text) > 64<<10 {
			return
		}
		q, good := pushed(t, testAppID, keyNow, string(text), false) // behind the signature, too
		opened, err = OpenMessage(testKeys(), q, good)
		requireSoundMessage(t, opened.Message, err)
	})
}

// FuzzDecryptMessage meets the library's AES with bytes that no key of ours made.
func FuzzDecryptMessage(f *testing.F) {
	f.Add(vectorByID(f, "msgaes-decrypt-C").Encrypt)
	f.Add("")
	f.Fuzz(func(t *testing.T, encrypted string) {
		if _, _, err := decryptMessage(testKeys(), encrypted); err != nil {
			require.NotEmpty(t, ReasonOf(err))
		}
	})
}

func FuzzOpenUserData(f *testing.F) {
	plain := profileOf(testAppID, testAt)
	f.Add(sealUserData(f, plain, padded(plain)), testIV, plain)
	f.Add("", "", "{}")
	f.Fuzz(func(t *testing.T, data, iv, plain string) {
		for _, sealed := range []string{data, sealUserData(t, plain, padded(plain))} {
			got, err := OpenUserData(testSessionKey, testAppID, sealed, iv, testAt)
			if err != nil {
				require.NotEmpty(t, ReasonOf(err))
				require.Less(t, len(err.Error()), 300)
				continue
			}
			require.LessOrEqual(t, len(got.OpenID), 64)
		}
	})
}

func FuzzParsePushQuery(f *testing.F) {
	f.Add("signature=s&timestamp=1&nonce=n&encrypt_type=aes")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := ParsePushQuery(raw)
		if err != nil {
			require.NotEmpty(t, ReasonOf(err))
			return
		}
		_ = q.CheckFresh(testAt)
	})
}

func FuzzCheckMenu(f *testing.F) {
	f.Add([]byte(testMenu))
	f.Fuzz(func(_ *testing.T, menu []byte) { _ = CheckMenu(menu) })
}

func FuzzReplies(f *testing.F) {
	f.Add("]]>", "gh_1")
	f.Fuzz(func(t *testing.T, text, user string) {
		fields, err := parseXML(TextReply(Message{ToUser: user}, testAt, text))
		require.NoError(t, err)
		require.Len(t, fields, 5)
	})
}

package wechat

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
)

const (
	keyNow    = merchant.Secret("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
	keyBefore = merchant.Secret("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C")
	testToken = merchant.Secret("pushTokenOfTheShop")
	testText  = `<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[oUser]]></FromUserName><CreateTime>1767254400</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[hello <b>]]></Content><MsgId>6054768590064713728</MsgId></xml>`
)

func testKeys() PushKeys {
	return PushKeys{AppID: testAppID, Token: testToken, AESKeys: []merchant.Secret{keyNow, keyBefore}}
}

// pushed encrypts a message as WeChat does and signs it.
func pushed(tb testing.TB, appid string, key merchant.Secret, text string, asJSON bool) (PushQuery, []byte) {
	tb.Helper()
	encrypted, err := encryptMessage(asAppID(appid), key, []byte(text), []byte("0123456789abcdef"))
	require.NoError(tb, err)
	stamp := strconv.FormatInt(testAt.Unix(), 10)
	q := PushQuery{Encrypted: true, Timestamp: stamp, Nonce: "n", MsgSignature: sortedSignature(testToken.Reveal(), stamp, "n", encrypted)}
	if asJSON {
		return q, []byte(`{"ToUserName":"gh_1","Encrypt":"` + encrypted + `"}`)
	}
	return q, []byte(`<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[` + encrypted + `]]></Encrypt></xml>`)
}

func TestOpenMessage_opens_with_both_keys_and_seals_with_the_same(t *testing.T) {
	t.Parallel()
	for i, key := range []merchant.Secret{keyNow, keyBefore} {
		for _, asJSON := range []bool{false, true} {
			q, body := pushed(t, testAppID, key, testText, asJSON)
			opened, err := OpenMessage(testKeys(), q, body)
			require.NoError(t, err)
			require.Equal(t, i, opened.Key)
			require.Equal(t, asJSON, opened.JSON)
			require.Equal(t, "hello <b>", opened.Message.Fields["Content"])

			reply := TextReply(opened.Message, testAt, "hi")
			sealed, err := SealReply(testKeys(), opened, reply, "1", "m", []byte("fedcba9876543210"))
			require.NoError(t, err)
			fields, err := fieldsOf(sealed)
			require.NoError(t, err)
			require.Equal(t, asJSON, json.Valid(sealed))
			require.Equal(t, sortedSignature(testToken.Reveal(), "1", "m", fields["Encrypt"]), fields["MsgSignature"])
			text, _, err := decryptMessage(PushKeys{AppID: testAppID, AESKeys: []merchant.Secret{key}}, fields["Encrypt"])
			require.NoError(t, err)
			require.Equal(t, string(reply), string(text))
		}
	}
}

func TestOpenMessage_refuses_what_it_cannot_believe(t *testing.T) {
	t.Parallel()
	good, body := pushed(t, testAppID, keyNow, testText, false)
	open := func(keys PushKeys, q PushQuery, body []byte) error {
		_, err := OpenMessage(keys, q, body)
		return err
	}
	require.NoError(t, open(testKeys(), good, body))

	forged := good
	forged.MsgSignature = strings.Repeat("0", 40)
	requireReason(t, RejectSignature, open(testKeys(), forged, body))
	other := good
	other.Nonce = "o"
	requireReason(t, RejectSignature, open(testKeys(), other, body))
	tampered := strings.Replace(string(body), "Encrypt><![CDATA[", "Encrypt><![CDATA[AAAA", 1)
	requireReason(t, RejectSignature, open(testKeys(), good, []byte(tampered)))

	q, foreign := pushed(t, "wx0000000000000000", keyNow, testText, false)
	requireReason(t, RejectForeign, open(testKeys(), q, foreign))
	q, unknown := pushed(t, testAppID, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", testText, false)
	requireReason(t, RejectDecrypt, open(testKeys(), q, unknown))

	noToken := testKeys()
	noToken.Token = ""
	requireReason(t, RejectSignature, open(noToken, good, body))
	noKeys := testKeys()
	noKeys.AESKeys = nil
	requireReason(t, RejectDecrypt, open(noKeys, good, body))
	badKey := testKeys()
	badKey.AESKeys = []merchant.Secret{"short"}
	requireReason(t, RejectDecrypt, open(badKey, good, body))
	requireReason(t, RejectMalformed, open(testKeys(), good, make([]byte, maxMessageBytes+1)))
	requireReason(t, RejectMalformed, open(testKeys(), good, []byte("<xml></xml>")))
}

// Whoever saw one signed address could otherwise send any plain body.
func TestOpenMessage_takes_no_plain_message_in_safe_mode(t *testing.T) {
	t.Parallel()
	stamp := strconv.FormatInt(testAt.Unix(), 10)
	q := PushQuery{Timestamp: stamp, Nonce: "n", Signature: sortedSignature(testToken.Reveal(), stamp, "n")}
	_, err := OpenMessage(testKeys(), q, []byte(testText))
	requireReason(t, RejectSignature, err)

	plain := PushKeys{AppID: testAppID, Token: testToken}
	opened, err := OpenMessage(plain, q, []byte(testText))
	require.NoError(t, err)
	require.Equal(t, keyNone, opened.Key)
	reply, err := SealReply(plain, opened, []byte(ReplySuccess), "1", "n", nil)
	require.NoError(t, err)
	require.Equal(t, "success", string(reply))

	q.Signature = ""
	_, err = OpenMessage(plain, q, []byte(testText))
	requireReason(t, RejectSignature, err)
	require.Equal(t, problem.NotFromWeChat, problem.KindOf(Problem(err)))
}

func TestSealReply_needs_the_key_that_opened(t *testing.T) {
	t.Parallel()
	_, err := SealReply(testKeys(), Opened{Key: 2}, []byte("x"), "1", "n", []byte("0123456789abcdef"))
	require.Error(t, err)
	_, err = SealReply(testKeys(), Opened{Key: 0}, []byte("x"), "1", "n", []byte("short"))
	require.Error(t, err)
}

func TestParsePushQuery_reads_each_name_once(t *testing.T) {
	t.Parallel()
	q, err := ParsePushQuery("signature=s&timestamp=1767254400&nonce=n&openid=o&encrypt_type=aes&msg_signature=m&echostr=%E4%B8%AD")
	require.NoError(t, err)
	require.Equal(t, PushQuery{Signature: "s", MsgSignature: "m", Timestamp: "1767254400", Nonce: "n", EchoStr: "中", Encrypted: true}, q)
	for _, raw := range []string{"a=1&a=2", "a=%", "a;b", "encrypt_type=des", strings.Repeat("a", maxQueryBytes+1)} {
		_, err := ParsePushQuery(raw)
		requireReason(t, RejectMalformed, err)
	}
}

func TestCheckFresh_takes_five_minutes_either_way(t *testing.T) {
	t.Parallel()
	q := PushQuery{Timestamp: strconv.FormatInt(testAt.Unix(), 10)}
	require.NoError(t, q.CheckFresh(testAt))
	require.NoError(t, q.CheckFresh(testAt.Add(4*time.Minute+59*time.Second)))
	requireReason(t, RejectStale, q.CheckFresh(testAt.Add(5*time.Minute)))
	requireReason(t, RejectStale, q.CheckFresh(testAt.Add(-5*time.Minute)))
	requireReason(t, RejectMalformed, PushQuery{Timestamp: "soon"}.CheckFresh(testAt))
	requireReason(t, RejectStale, PushQuery{Timestamp: "-9223372036854775808"}.CheckFresh(testAt))
}

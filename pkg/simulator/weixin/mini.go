package weixin

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
)

const (
	sessionKeyBytes = 16
	aesBlock        = 16
)

// mark is the watermark: who a piece of user data was made for, and when.
type mark struct {
	Timestamp int64  `json:"timestamp"`
	Appid     string `json:"appid"`
}

func (p *Platform) drawSessionKey() (string, error) {
	key, err := p.random.bytes(sessionKeyBytes)
	return base64.StdEncoding.EncodeToString(key), err
}

func (p *Platform) jscode2session(c *call) (any, error) {
	q := c.URL.Query()
	app, refused := p.authorized(q.Get("appid"), q.Get("secret"))
	if refused != nil {
		return nil, refused
	}
	if q.Get("grant_type") != "authorization_code" {
		return nil, refuse(invalidGrantType)
	}
	spent, refused := p.spend(q.Get("js_code"), app.Appid, codeMini)
	if refused != nil {
		return nil, refused
	}
	answer := map[string]string{"session_key": spent.sessionKey, "openid": OpenidOf(app.Appid, spent.user)}
	if !spent.NoUnionid {
		answer["unionid"] = UnionidOf(spent.user)
	}
	return answer, nil
}

// addUserInfo adds what wx.getUserInfo gives after the wx.login of a code.
func (p *Platform) addUserInfo(answer map[string]string, r *http.Request, c code, who Person, watermark *mark) error {
	raw := map[string]any{"nickName": who.Nickname, "gender": 0, "language": "zh_CN", "city": "", "province": "", "country": "",
		"avatarUrl": avatarURL(r, who.User)}
	public, err := marshal(raw)
	if err != nil {
		return err
	}
	if watermark == nil {
		watermark = &mark{p.now().Unix(), c.appid}
	}
	raw["openId"], raw["watermark"] = OpenidOf(c.appid, who.User), watermark
	if !c.NoUnionid {
		raw["unionId"] = UnionidOf(who.User)
	}
	private, err := marshal(raw)
	if err != nil {
		return err
	}
	iv, err := p.random.bytes(aesBlock)
	if err != nil {
		return err
	}
	sealed, err := sealUserData(c.sessionKey, iv, private)
	if err != nil {
		return err
	}
	answer["rawData"], answer["signature"] = string(public), sha1Hex(string(public)+c.sessionKey)
	answer["encryptedData"], answer["iv"] = sealed, base64.StdEncoding.EncodeToString(iv)
	return nil
}

// marshal leaves < > & as they are, as WeChat does: the text is signed.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode user data: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// sealUserData is AES-128-CBC with PKCS#7 under the session key.
func sealUserData(sessionKey string, iv, plain []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(sessionKey)
	if err != nil {
		return "", fmt.Errorf("decode session key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", fmt.Errorf("make cipher: %w", err)
	}
	padded := pad(plain, aesBlock)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return base64.StdEncoding.EncodeToString(padded), nil
}

// pad fills up to whole blocks with bytes that say how many they are (PKCS#7).
func pad(plain []byte, block int) []byte {
	n := block - len(plain)%block
	return append(bytes.Clone(plain), bytes.Repeat([]byte{byte(n)}, n)...)
}

func (p *Platform) phoneNumber(c *call) (any, error) {
	app, refused := p.holder(c)
	if refused != nil {
		return nil, refused
	}
	var ask struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(c.body, &ask); err != nil {
		return nil, refuse(badFormat)
	}
	spent, refused := p.spend(ask.Code, app.Appid, codePhone)
	if refused != nil {
		return nil, refused
	}
	who, _ := p.person(spent.user) // people never go away
	return map[string]any{"errcode": 0, "errmsg": "ok", "phone_info": map[string]any{
		"phoneNumber": who.Phone, "purePhoneNumber": who.Phone, "countryCode": "86", "watermark": mark{p.now().Unix(), app.Appid}}}, nil
}

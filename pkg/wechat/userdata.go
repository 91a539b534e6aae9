package wechat

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// Bounds of encrypted user data. The clock's bounds are ours: WeChat stamps the
// data when the mini program asks for it, and the login posts it at once.
const (
	maxUserDataBytes = 16 << 10
	userDataAge      = 10 * time.Minute
	userDataAhead    = 5 * time.Minute
)

// UserData is what a mini program got encrypted from WeChat: a profile, or a
// phone number. Fields that were not in it are empty.
type UserData struct {
	OpenID      pay.OpenID
	UnionID     pay.UnionID
	Nickname    string
	AvatarURL   string
	Phone       Phone
	WatermarkAt time.Time
	Raw         json.RawMessage // all of it, as WeChat wrote it
}

// OpenUserData decrypts what a mini program posted and checks that WeChat made
// it for this app within the last 10 minutes (5 minutes into the future are
// forgiven to clocks). Every failure to decrypt reads the same.
//
// It is encrypted and not authenticated: who has data of their own can cut it, and
// choose its first 16 characters. So it is read strictly, and taken only where it
// is whole: a profile names its person, a phone number comes in its three fields.
// That makes forging hard and proves nothing: take an openid and a unionid from
// CodeToSession, and a phone number that money hangs on from PhoneNumber.
func OpenUserData(sessionKey merchant.Secret, appid pay.AppID, encryptedData, iv string, now time.Time) (UserData, error) {
	plain, rejected := decryptUserData(sessionKey, encryptedData, iv)
	if rejected != nil {
		return UserData{}, rejected
	}
	fields, err := parseJSON(plain)
	if err != nil {
		return UserData{}, reject(RejectDecrypt, "the encrypted data was not made with this session's key")
	}
	if !sameText(fields["watermark.appid"], string(appid)) {
		return UserData{}, reject(RejectForeign, "the encrypted data is another app's")
	}
	seconds, err := strconv.ParseInt(fields["watermark.timestamp"], 10, 64)
	if err != nil {
		return UserData{}, reject(RejectMalformed, "the encrypted data says not when it was made")
	}
	at := time.Unix(seconds, 0).UTC()
	if at.Before(now.Add(-userDataAge)) || at.After(now.Add(userDataAhead)) {
		return UserData{}, reject(RejectStale, "the encrypted data is of %s: it may be 10 minutes old and 5 minutes ahead of our clock", stampText(at))
	}
	data := UserData{
		OpenID: pay.OpenID(fields["openId"]), UnionID: pay.UnionID(fields["unionId"]), Nickname: fields["nickName"], AvatarURL: fields["avatarUrl"],
		Phone:       Phone{Number: fields["phoneNumber"], PureNumber: fields["purePhoneNumber"], CountryCode: fields["countryCode"]},
		WatermarkAt: at, Raw: plain,
	}
	if rejected := data.whole(); rejected != nil {
		return UserData{}, rejected
	}
	return data, nil
}

// whole refuses what is neither a profile nor a phone number as WeChat writes them.
func (d UserData) whole() *RejectError {
	if d.OpenID != "" && !openIDShape.MatchString(string(d.OpenID)) || d.UnionID != "" && !openIDShape.MatchString(string(d.UnionID)) {
		return reject(RejectMalformed, "the encrypted data holds an openid or unionid of an unusual shape")
	}
	profile := d.OpenID != "" && d.Phone == Phone{}
	phone := d.Phone.Number != "" && d.Phone.PureNumber != "" && d.Phone.CountryCode != "" && d.OpenID == "" && d.UnionID == ""
	if !profile && !phone {
		return reject(RejectMalformed, "the encrypted data is neither a whole profile nor a whole phone number")
	}
	return nil
}

// CheckRawData holds rawData of wx.getUserProfile against its signature.
func CheckRawData(rawData, signature string, sessionKey merchant.Secret) error {
	if !sameText(sha1Hex(rawData+sessionKey.Reveal()), signature) {
		return reject(RejectSignature, "raw_data does not fit its signature")
	}
	return nil
}

// decryptUserData is AES-128-CBC with PKCS#7. The library's own function
// panics on a length that is no whole number of blocks and strips any padding.
func decryptUserData(sessionKey merchant.Secret, encryptedData, iv string) ([]byte, *RejectError) {
	if len(encryptedData) > maxUserDataBytes {
		return nil, reject(RejectMalformed, "the encrypted data has %d characters, and at most %d are read", len(encryptedData), maxUserDataBytes)
	}
	key, keyErr := base64.StdEncoding.DecodeString(sessionKey.Reveal())
	start, ivErr := base64.StdEncoding.DecodeString(iv)
	data, dataErr := base64.StdEncoding.DecodeString(encryptedData)
	if keyErr != nil || len(key) != aes.BlockSize {
		return nil, reject(RejectDecrypt, "WeChat's session key is not 16 bytes in base64")
	}
	if ivErr != nil || dataErr != nil || len(start) != aes.BlockSize || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, reject(RejectMalformed, "encrypted_data or iv is not base64 of whole blocks of 16 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, reject(RejectDecrypt, "WeChat's session key is not one of AES-128")
	}
	cipher.NewCBCDecrypter(block, start).CryptBlocks(data, data)
	pad := int(data[len(data)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.Equal(data[len(data)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, reject(RejectDecrypt, "the encrypted data was not made with this session's key")
	}
	return data[:len(data)-pad], nil
}

func stampText(at time.Time) string {
	if y := at.Year(); y < 2000 || y > 2200 {
		return "no plausible time"
	}
	return at.Format(time.RFC3339)
}

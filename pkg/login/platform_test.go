package login_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// answer is what WeChat says.
type answer map[string]any

func refusal(code int, message string) answer { return answer{"errcode": code, "errmsg": message} }

// platform is WeChat as far as logins go: it knows codes, tokens and followers, and
// gives each code once.
type platform struct {
	mu        sync.Mutex
	codes     map[string]answer // what a code is exchanged for
	spent     map[string]bool
	userinfo  map[string]answer // by access token
	followers map[string]answer // by openid
	phones    map[string]answer // by code
	refreshes map[string]answer // by refresh token
	valid     map[string]bool   // access tokens of buyers
	broken    map[string]answer // by path: said instead of anything else
	calls     map[string]int
	silent    string // a path that is never answered
}

func newPlatform(t *testing.T) (*platform, string) {
	t.Helper()
	p := &platform{
		codes: map[string]answer{}, spent: map[string]bool{}, userinfo: map[string]answer{}, followers: map[string]answer{}, phones: map[string]answer{},
		refreshes: map[string]answer{}, valid: map[string]bool{}, broken: map[string]answer{}, calls: map[string]int{},
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server.URL
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	silent := p.silent == r.URL.Path
	p.mu.Unlock()
	if silent {
		<-r.Context().Done()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[r.URL.Path]++
	said := p.broken[r.URL.Path]
	if said == nil {
		said = p.say(r)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(said)
}

func (p *platform) say(r *http.Request) answer {
	q := r.URL.Query()
	switch r.URL.Path {
	case "/sns/oauth2/access_token":
		return p.exchange(q.Get("secret"), q.Get("code"))
	case "/sns/jscode2session":
		return p.exchange(q.Get("secret"), q.Get("js_code"))
	case "/sns/oauth2/refresh_token":
		return known(p.refreshes, q.Get("refresh_token"), refusal(42002, "refresh_token expired"))
	case "/sns/auth":
		if p.valid[q.Get("access_token")] {
			return refusal(0, "ok")
		}
		return refusal(42001, "access_token expired")
	case "/sns/userinfo":
		return known(p.userinfo, q.Get("access_token"), refusal(40001, "invalid credential"))
	case "/cgi-bin/stable_token":
		return answer{"access_token": "APP-TOKEN", "expires_in": 7200}
	case "/cgi-bin/user/info":
		return known(p.followers, q.Get("openid"), answer{"subscribe": 0, "openid": q.Get("openid")})
	case "/wxa/business/getuserphonenumber":
		var body struct {
			Code string `json:"code"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		return known(p.phones, body.Code, refusal(40029, "invalid code"))
	}
	return refusal(404, "no such path in this test")
}

func (p *platform) exchange(secret, code string) answer {
	switch {
	case secret != appSecret:
		return refusal(40125, "invalid appsecret")
	case p.spent[code]:
		return refusal(40163, "code been used")
	case p.codes[code] == nil:
		return refusal(40029, "invalid code")
	}
	p.spent[code] = true
	return p.codes[code]
}

func known(all map[string]answer, key string, otherwise answer) answer {
	if said, ok := all[key]; ok {
		return said
	}
	return otherwise
}

// grants makes a code that is exchanged for a grant.
func (p *platform) grants(code, openid, scope string, more answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = answer{"access_token": "AT-" + code, "expires_in": 7200, "refresh_token": "RT-" + code, "openid": openid, "scope": scope}
	maps.Copy(p.codes[code], more)
	p.valid["AT-"+code] = true
}

// programs makes a code of wx.login.
func (p *platform) programs(code, openid string, more answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = answer{"openid": openid, "session_key": sessionKey}
	maps.Copy(p.codes[code], more)
}

func (p *platform) set(change func(p *platform)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *platform) called(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[path]
}

func plainOf(about answer) string {
	plain, _ := json.Marshal(about)
	return string(plain)
}

// encrypted is what wx.getUserInfo gives, made as WeChat documents it.
func encrypted(key string, about answer, appid string, at time.Time) (data, iv string) {
	about = maps.Clone(about)
	about["watermark"] = answer{"appid": appid, "timestamp": at.Unix()}
	plain := []byte(plainOf(about))
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	for range pad {
		plain = append(plain, byte(pad))
	}
	raw, _ := base64.StdEncoding.DecodeString(key)
	block, _ := aes.NewCipher(raw)
	start := []byte("0123456789abcdef")
	cipher.NewCBCEncrypter(block, start).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain), base64.StdEncoding.EncodeToString(start)
}

func signed(rawData, key string) string {
	sum := sha1.Sum([]byte(rawData + key))
	return hex.EncodeToString(sum[:])
}

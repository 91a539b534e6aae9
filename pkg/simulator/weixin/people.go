package weixin

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"slices"
)

// Person is somebody with WeChat on the phone.
type Person struct {
	User     string `json:"user"`
	Nickname string `json:"nickname"`
	Phone    string `json:"phone"`
	// Follows are the official accounts that the person follows, by appid.
	Follows []string `json:"follows,omitempty"`
}

// everybody are the made-up people that each stand-in starts with.
func everybody() []Person {
	return []Person{
		{User: "lilei", Nickname: "李雷", Phone: "13800000001", Follows: []string{officialAccountAppid}},
		{User: "hanmeimei", Nickname: "韩梅梅", Phone: "13800000002", Follows: []string{officialAccountAppid}},
		{User: "jim", Nickname: "Jim Green", Phone: "13800000003"},
		{User: "lucy", Nickname: "Lucy", Phone: "13800000004"},
	}
}

// OpenidOf is a person's openid under an appid: always the same, as at WeChat.
func OpenidOf(appid, user string) string {
	return "o" + shortHash("openid", appid, user)
}

// UnionidOf is what all appids of one open platform account know a person by.
func UnionidOf(user string) string { return "o6" + shortHash("unionid", user)[:26] }

func shortHash(lines ...string) string {
	text := ""
	for _, line := range lines {
		text += line + "\n"
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:27]
}

// identity is what an openid stands for.
type identity struct{ appid, user string }

// meet adds a person. The lock must be held.
func (p *Platform) meet(who Person) {
	p.people = append(p.people, who)
	for _, app := range p.apps {
		p.openids[OpenidOf(app.Appid, who.User)] = identity{app.Appid, who.User}
	}
}

// person finds somebody by name.
func (p *Platform) person(user string) (Person, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.people, func(who Person) bool { return who.User == user })
	if i < 0 {
		return Person{}, false
	}
	return p.people[i], true
}

func (p *Platform) everyone() []Person {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.people)
}

// OwnerOf says under which appid an openid of a person here is known.
func (p *Platform) OwnerOf(openid string) (appid string, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, known := p.openids[openid]
	return id.appid, known
}

// follow notes that a person follows an account, or no longer does.
func (p *Platform) follow(user, appid string, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.people {
		who := &p.people[i]
		if who.User != user {
			continue
		}
		follows := slices.DeleteFunc(slices.Clone(who.Follows), func(a string) bool { return a == appid })
		if on {
			follows = append(follows, appid)
		}
		who.Follows = follows
	}
}

// userName keeps names fit for addresses and cookies.
func userName() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_-]{1,32}$`) }

// personDocument is a person with the names that apps know them by.
type personDocument struct {
	Person

	Unionid string            `json:"unionid"`
	Openids map[string]string `json:"openids"`
}

func (p *Platform) document(who Person) personDocument {
	d := personDocument{Person: who, Unionid: UnionidOf(who.User), Openids: map[string]string{}}
	for _, app := range p.apps {
		d.Openids[app.Appid] = OpenidOf(app.Appid, who.User)
	}
	return d
}

func (p *Platform) controlUsers(w http.ResponseWriter, _ *http.Request) {
	all := []personDocument{}
	for _, who := range p.everyone() {
		all = append(all, p.document(who))
	}
	writeJSON(w, http.StatusOK, map[string][]personDocument{"users": all})
}

// controlMeet makes a person; whoever names none gets a stranger.
func (p *Platform) controlMeet(w http.ResponseWriter, r *http.Request) {
	var who Person
	if !decode(w, r, &who) {
		return
	}
	if err := p.complete(&who); err != nil {
		writeProblem(w, http.StatusBadRequest, err)
		return
	}
	if _, known := p.person(who.User); known {
		writeProblem(w, http.StatusConflict, errors.New("there is a person of this name already"))
		return
	}
	p.mu.Lock()
	p.meet(who)
	p.mu.Unlock()
	writeJSON(w, http.StatusCreated, p.document(who))
}

func (p *Platform) complete(who *Person) error {
	number, err := p.random.text(8, decimal)
	if err != nil {
		return err
	}
	if who.User == "" {
		who.User = "stranger-" + number
	}
	if who.Nickname == "" {
		who.Nickname = who.User
	}
	if who.Phone == "" {
		who.Phone = "139" + number
	}
	if !userName().MatchString(who.User) {
		return errors.New("user must be 1 to 32 of a-z, 0-9, _ and -")
	}
	return nil
}

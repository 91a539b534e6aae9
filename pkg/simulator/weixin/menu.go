package weixin

import "encoding/json"

// The limits of a menu (WeChat's document on custom menus).
const (
	mostButtons    = 3
	mostSubButtons = 5
	nameBytes      = 16
	subNameBytes   = 60
	keyBytes       = 128
	urlBytes       = 1024
)

// button is one entry of a menu.
type button struct {
	Type      string   `json:"type,omitempty"`
	Name      string   `json:"name"`
	Key       string   `json:"key,omitempty"`
	URL       string   `json:"url,omitempty"`
	Appid     string   `json:"appid,omitempty"`
	PagePath  string   `json:"pagepath,omitempty"`
	MediaID   string   `json:"media_id,omitempty"`
	ArticleID string   `json:"article_id,omitempty"`
	Sub       []button `json:"sub_button,omitempty"`
}

func (p *Platform) menuCreate(c *call) (any, error) {
	app, refused := p.menuOwner(c)
	if refused != nil {
		return nil, refused
	}
	var menu struct {
		Button []button `json:"button"`
	}
	if len(c.body) == 0 {
		return nil, refuse(emptyBody)
	}
	if err := json.Unmarshal(c.body, &menu); err != nil {
		return nil, refuse(badFormat).because("the menu is no JSON: %v", err)
	}
	if refused := checkMenu(menu.Button); refused != nil {
		return nil, refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.menus[app.Appid] = menu
	return failure{Code: 0, Message: "ok"}, nil
}

func (p *Platform) menuOwner(c *call) (App, *failure) {
	app, refused := p.holder(c)
	if refused == nil && app.Kind != KindOfficialAccount {
		refused = refuse(unauthorized).because("only official accounts have a menu")
	}
	return app, refused
}

func checkMenu(buttons []button) *failure {
	if len(buttons) == 0 || len(buttons) > mostButtons {
		return refuse(40016).because("a menu has 1 to 3 buttons, not %d", len(buttons))
	}
	for _, b := range buttons {
		if len(b.Name) == 0 || len(b.Name) > nameBytes {
			return refuse(40018).because("the name %q must have 1 to 16 bytes", b.Name)
		}
		if len(b.Sub) > mostSubButtons {
			return refuse(40023).because("%q has more than 5 entries", b.Name)
		}
		for _, sub := range b.Sub {
			if len(sub.Name) == 0 || len(sub.Name) > subNameBytes {
				return refuse(40025).because("the name %q must have 1 to 60 bytes", sub.Name)
			}
			if refused := checkAction(sub); refused != nil {
				return refused
			}
		}
		if len(b.Sub) == 0 {
			if refused := checkAction(b); refused != nil {
				return refused
			}
		}
	}
	return nil
}

// checkAction wants what each type of button needs.
func checkAction(b button) *failure {
	given, code := b.Key, 40019
	switch b.Type {
	case "click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select":
	case "view":
		given, code = b.URL, 40020
	case "miniprogram":
		if b.Appid == "" || b.PagePath == "" {
			return refuse(invalidParameter).because("%q needs appid and pagepath", b.Name)
		}
		given, code = b.URL, 40020
	case "media_id", "view_limited":
		given, code = b.MediaID, invalidParameter
	case "article_id", "article_view_limited":
		given, code = b.ArticleID, invalidParameter
	default:
		return refuse(40017).because("%q is of the unknown type %q", b.Name, b.Type)
	}
	most := keyBytes
	if code == 40020 {
		most = urlBytes
	}
	if given == "" || len(given) > most {
		return refuse(code).because("what %q leads to must have 1 to %d bytes", b.Name, most)
	}
	return nil
}

func (p *Platform) menuGet(c *call) (any, error) {
	app, refused := p.menuOwner(c)
	if refused != nil {
		return nil, refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	menu, made := p.menus[app.Appid]
	if !made {
		return nil, refuse(noMenu)
	}
	return map[string]any{"menu": menu}, nil
}

func (p *Platform) menuDelete(c *call) (any, error) {
	app, refused := p.menuOwner(c)
	if refused != nil {
		return nil, refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.menus, app.Appid)
	return failure{Code: 0, Message: "ok"}, nil
}

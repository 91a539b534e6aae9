package weixin

import "slices"

// followerInfo is the answer of cgi-bin/user/info. Name and picture are not in it
// since the end of 2021.
type followerInfo struct {
	Subscribe     int    `json:"subscribe"`
	Openid        string `json:"openid"`
	Language      string `json:"language,omitempty"`
	SubscribeTime int64  `json:"subscribe_time,omitempty"`
	Unionid       string `json:"unionid,omitempty"`
	Remark        string `json:"remark"`
	GroupID       int    `json:"groupid"`
	TagIDs        []int  `json:"tagid_list"`
	Scene         string `json:"subscribe_scene,omitempty"`
}

func (p *Platform) follower(c *call) (any, error) {
	app, refused := p.holder(c)
	if refused != nil {
		return nil, refused
	}
	if app.Kind != KindOfficialAccount {
		return nil, refuse(unauthorized).because("only official accounts have followers")
	}
	openid := c.URL.Query().Get("openid")
	p.mu.Lock()
	id, known := p.openids[openid]
	p.mu.Unlock()
	if openid == "" {
		return nil, refuse(missingOpenid)
	}
	if !known || id.appid != app.Appid {
		return nil, refuse(invalidOpenid)
	}
	who, _ := p.person(id.user) // an openid's person is known
	info := followerInfo{Openid: openid, Unionid: UnionidOf(who.User), TagIDs: []int{}}
	if slices.Contains(who.Follows, app.Appid) {
		info.Subscribe, info.Language, info.SubscribeTime, info.Scene = 1, "zh_CN", p.now().Unix()-86400, "ADD_SCENE_QR_CODE"
	}
	return info, nil
}

package simulator

import (
	"errors"
	"net/http"
)

// issuedOpenid is a payer's name under one appid. What this stand-in has not issued
// it takes from anybody, as it knows no users.
type issuedOpenid struct {
	Openid string `json:"openid"`
	Appid  string `json:"appid"`
}

// IssueOpenid invents a user of an appid. Orders of another appid may not name it.
func (s *Simulator) IssueOpenid(appid string) (string, error) {
	openid, err := s.random.openid()
	if err != nil {
		return "", err
	}
	s.books.mu.Lock()
	defer s.books.mu.Unlock()
	return openid, s.books.record(entry{Openid: &issuedOpenid{openid, appid}})
}

// checkOpenid refuses an openid that belongs to another appid.
func (s *Simulator) checkOpenid(openid, appid string) *refusal {
	owner, known := s.weixin.OwnerOf(openid)
	if !known {
		s.books.mu.Lock()
		owner, known = s.books.openids[openid]
		s.books.mu.Unlock()
	}
	if known && owner != appid {
		refused := paramError("#/properties/payer/properties/openid", "belongs to another appid (appid和openid不匹配)")
		refused.log = []any{"openid_appid", owner, "appid", appid}
		return refused
	}
	return nil
}

func (s *Simulator) controlOpenid(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Appid string `json:"appid"`
	}
	err := decodeControl(w, r, &ask)
	if err == nil && (len(ask.Appid) == 0 || len(ask.Appid) > 32) {
		err = errors.New("appid must have 1 to 32 characters")
	}
	if err != nil {
		writeControlError(w, http.StatusBadRequest, err, nil)
		return
	}
	openid, err := s.IssueOpenid(ask.Appid)
	if err != nil {
		writeControlError(w, http.StatusInternalServerError, err, nil)
		return
	}
	writeJSON(w, http.StatusOK, issuedOpenid{openid, ask.Appid})
}

package wechat

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// MenuGet reads the custom menu as WeChat tells it; nil: there is none.
func (c *Client) MenuGet(ctx context.Context, accessToken merchant.Secret) (json.RawMessage, error) {
	call := c.call("menu_get", accessToken.Reveal())
	var got struct {
		Menu json.RawMessage `json:"menu"`
	}
	err := call.menu(ctx, http.MethodGet, "/cgi-bin/menu/get", accessToken, nil, &got)
	if codeOf(err) == codeNoMenu {
		return nil, nil
	}
	return got.Menu, err
}

// MenuSet replaces the custom menu. The menu is checked first and then sent as
// it is, with any field that we do not know.
func (c *Client) MenuSet(ctx context.Context, accessToken merchant.Secret, menu json.RawMessage) error {
	if err := CheckMenu(menu); err != nil {
		return err
	}
	return c.call("menu_create", accessToken.Reveal()).menu(ctx, http.MethodPost, "/cgi-bin/menu/create", accessToken, menu, &struct{}{})
}

// MenuRemove takes the custom menu away, with all its conditional ones.
func (c *Client) MenuRemove(ctx context.Context, accessToken merchant.Secret) error {
	return c.call("menu_delete", accessToken.Reveal()).menu(ctx, http.MethodGet, "/cgi-bin/menu/delete", accessToken, nil, &struct{}{})
}

func (c *call) menu(ctx context.Context, method, path string, token merchant.Secret, body []byte, out any) error {
	if err := c.checkToken(token.Reveal()); err != nil {
		return err
	}
	return c.do(ctx, method, path, url.Values{"access_token": {token.Reveal()}}, body, out)
}

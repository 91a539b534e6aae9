package merchant

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxAddressBytes bounds what a page names: browsers and proxies commonly stop
// taking addresses at 2 KiB to 8 KiB.
const maxAddressBytes = 2 << 10

// MayReturnTo says why a login or an H5 payment may not lead to an address, or
// nil. It must lie under one of the app's redirect URLs: same scheme, host and
// port, and a path below it that ends no word in the middle. Whatever two readers
// of an address could take for different places is refused.
func (a App) MayReturnTo(address string) error {
	target, err := parseAddress(address)
	if err != nil {
		return err
	}
	if strings.Contains(address, "#") {
		return errors.New("it has a fragment (#…): a fragment does not survive the way through WeChat")
	}
	if slices.ContainsFunc(a.RedirectURLs, func(allowed string) bool { return liesUnder(target, allowed) }) {
		return nil
	}
	return fmt.Errorf("it lies under none of the redirect_urls of app %s", a.AppID)
}

// MayConfigure says why a page may not call wx.config in this app's name, or nil.
func (a App) MayConfigure(page string) error {
	u, err := parseAddress(page)
	if err != nil {
		return err
	}
	for _, scheme := range []string{"https", "http"} {
		for _, domain := range a.JSDomains {
			if u.Scheme == scheme && originOf(u) == originOf(&url.URL{Scheme: scheme, Host: domain}) {
				return nil
			}
		}
	}
	return fmt.Errorf("its domain is none of the js_domains of app %s", a.AppID)
}

// Origins are where this app's pages come from, as browsers write an Origin. A
// domain of pages that is named without a scheme counts with https, and with
// plain http where the front door itself has no better.
func (a App) Origins(plain bool) []string {
	var origins []string
	for _, address := range a.RedirectURLs {
		if u, err := url.Parse(address); err == nil {
			origins = append(origins, originOf(u))
		}
	}
	for _, domain := range a.JSDomains {
		origins = append(origins, originOf(&url.URL{Scheme: "https", Host: domain}))
		if plain {
			origins = append(origins, originOf(&url.URL{Scheme: "http", Host: domain}))
		}
	}
	return origins
}

// parseAddress takes a complete address of a page in plain characters.
func parseAddress(address string) (*url.URL, error) {
	if len(address) > maxAddressBytes {
		return nil, fmt.Errorf("it is longer than %d bytes", maxAddressBytes)
	}
	// Browsers take a backslash for a slash and skip control characters.
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\\\"<>`", r) }) {
		return nil, errors.New("it holds characters that must be percent-encoded in an address")
	}
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Opaque != "", u.Host == "", u.Hostname() == "":
		return nil, errors.New("it is not a complete address, such as https://shop.example.com/buy/")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("it is neither https nor http")
	case u.User != nil:
		return nil, errors.New("it holds a user name before the host")
	case climbs(u):
		return nil, errors.New("its path holds dots, slashes or percent signs that could lead elsewhere")
	}
	return u, nil
}

// climbs says whether a server might take the path for another: a step up, plain
// or encoded, also with what some servers cut off after a semicolon.
func climbs(u *url.URL) bool {
	escaped := strings.ToLower(u.EscapedPath())
	for _, hidden := range []string{"%2e", "%2f", "%5c", "%25", "%00"} {
		if strings.Contains(escaped, hidden) {
			return true
		}
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return true
		}
	}
	return false
}

func liesUnder(target *url.URL, allowed string) bool {
	root, err := url.Parse(allowed)
	if err != nil || originOf(root) != originOf(target) {
		return false
	}
	path, below := orSlash(target.Path), orSlash(root.Path)
	return path == below || strings.HasPrefix(path, strings.TrimSuffix(below, "/")+"/")
}

func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// originOf is scheme, host and port, written as browsers write an Origin.
func originOf(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	return scheme + "://" + strings.TrimSuffix(host, port)
}

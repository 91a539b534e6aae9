// Package wechat speaks the protocols around a payment: login on the web, in
// apps and in mini programs, an app's own tokens, the JS-SDK's signature,
// messages pushed by WeChat, and the custom menu.
//
// Its neighbours: merchant holds the secrets; store is the Shelf that all
// workers share; the use cases of login, messages and menus, all in the worker,
// call it. The edge reaches neither it nor the library below it.
//
// It guarantees that no error and no log line holds a secret, a token, a login
// code or a session key. It guarantees that what it returns as WeChat's was
// proved to be: signatures are compared in constant time before anything is
// decrypted, encrypted data must be of the same app and fresh, and XML has no
// DTD and no entities of its own. No input makes it panic. Any number of
// processes cause one fetch of an access token or ticket; one that lost its
// lease stores nothing; a token that WeChat refuses is replaced once for all
// that noticed.
//
// The library silenceper/wechat makes the calls of OAuth, jscode2session, the
// phone number and stable_token, and does the AES of messages. Its one global
// HTTP client is set to a transport of ours, which finds in a request's context
// whose call it is: address, connections, bounds. The library escapes nothing
// that it writes into a URL, so codes, tokens and ids are held to plain letters
// before; its errors hold the whole URL and lose the code, so they end here and
// an APIError comes out. Our own code stands where the library has no context
// (ticket, follower, menu), where it would drop fields that it does not know
// (menu), where it caches in a way that processes cannot share (tokens), where
// it asks for the clock and chance itself (wx.config), and where it panics or
// forgives (encrypted user data).
//
// It leaves to others: what a login means for an account, which page may be
// signed for and returned to, deduplication and publication of messages, and
// retries of calls that a person waits for.
package wechat

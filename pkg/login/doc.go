// Package login lets buyers in.
//
// Its job: turn a code of WeChat's into an account and a session. A page on the web
// has its code exchanged first (Authorize), and takes the login up with a ticket and
// with what it alone knows (Login); a mini program or an app posts its code (Login),
// a mini program's with a phone number or encrypted user data where it has them. It
// also reads accounts for shops, and makes a profile new.
//
// Its neighbours: wechat makes the calls and owns the apps' tokens, store keeps
// accounts, identities and tickets, session signs; the edge asks over the bus, and
// holds neither AppSecrets nor the private key.
//
// It guarantees that a login is refused whole, before anything is stored, where any
// part of it is not right: a code that was used, a page that WeChat shows as a
// preview, user data that is of another session, another app or too old. It
// guarantees that an openid has one account, and a unionid has one, however many
// log in at once; that a ticket lives for a minute, is given out once, and only to
// the page that began; that session_key leaves the call that it came with in no
// way; that grants of buyers are stored sealed; and that its log names accounts, and
// neither openids nor codes.
//
// It leaves to others: where a login may lead back to and the state of its redirect
// (the edge), what a session may do (command), and when a session ends early (never).
package login

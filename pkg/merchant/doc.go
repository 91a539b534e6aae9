// Package merchant holds who takes payments here: merchants, the keys that
// prove who speaks to them, and the secrets that they speak with.
//
// Its neighbours: config reads the files that are named in the configuration
// and hands them over as Files; wechatpay verifies and signs with what is
// held here.
//
// It guarantees that a secret is never printed by accident, whatever prints
// it; that a key of the wrong kind or length is refused when it is loaded,
// with the file and the fix in the message; that an API key is looked up in
// constant time; that Merchant, Directory and Keyring hold nothing secret, so
// that the public edge may have them.
//
// It leaves to others: where configuration comes from, how platform
// certificates are fetched, what is signed.
package merchant

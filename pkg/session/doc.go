// Package session writes and reads buyers' sessions: signed tokens by which a
// shop's page shows who is buying.
//
// Its job: make a JWT of an account after a login, and read one back strictly. A
// token is signed with Ed25519 (alg EdDSA) and says: iss fenflow, aud buyer, sub
// the account, mchid, appid and openid where the buyer logged in, iat, exp, jti.
// Its kid is the first 16 hex digits of the SHA-256 of the public key.
//
// Its neighbours: login signs, in the worker, which alone holds the private key;
// the edge and command verify with public keys, of which there are several
// while keys change.
//
// It guarantees that nothing but EdDSA is taken, whatever a header says; that a
// token is refused unless every claim above is there and right; and that each
// refusal has a Reason from a closed list, which never holds a part of the token.
//
// It leaves to others: whether the merchant and the app are still configured, what
// a buyer may do, and ending a session early: it ends by itself when it runs out.
package session

package simulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
)

// platformPrimes is the number of primes in the platform's own keys. An RSA
// signature costs the cube of a prime's length for each prime, so that four of 512
// bits take less than half the time of two of 1024, and the public half, all that a
// merchant sees, is the same 2048-bit key (RFC 8017 section 3.2 allows it). The
// merchant's key has two, as every tool expects.
const platformPrimes = 4

// signRSA is RSASSA-PKCS1-v1_5 with SHA-256.
func signRSA(key *rsa.PrivateKey, message string) (string, error) {
	digest := sha256.Sum256([]byte(message))
	if len(key.Primes) > 2 {
		return base64.StdEncoding.EncodeToString(signMultiPrime(key, digest[:])), nil
	}
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign message: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// signMultiPrime does by the Chinese remainder theorem (RFC 8017 section 5.2.1)
// what crypto/rsa does without it for more than two primes. It takes no care to
// hide the key in its timing: there is nobody to hide a test key from.
func signMultiPrime(key *rsa.PrivateKey, digest []byte) []byte {
	c := new(big.Int).SetBytes(padPKCS1(key.Size(), digest))
	pre := &key.Precomputed
	m := new(big.Int).Exp(new(big.Int).Mod(c, key.Primes[0]), pre.Dp, key.Primes[0])
	rest := new(big.Int).Exp(new(big.Int).Mod(c, key.Primes[1]), pre.Dq, key.Primes[1])
	m.Sub(m, rest).Mul(m, pre.Qinv).Mod(m, key.Primes[0])
	m.Mul(m, key.Primes[1]).Add(m, rest)
	for i, v := range pre.CRTValues { //nolint:staticcheck // filled in for all primes, which is all that we want of it
		prime := key.Primes[2+i]
		rest.Exp(new(big.Int).Mod(c, prime), v.Exp, prime)
		rest.Sub(rest, m).Mul(rest, v.Coeff).Mod(rest, prime)
		m.Add(m, rest.Mul(rest, v.R))
	}
	return m.FillBytes(make([]byte, key.Size()))
}

// padPKCS1 is EMSA-PKCS1-v1_5 (RFC 8017 section 9.2).
func padPKCS1(size int, digest []byte) []byte {
	prefix := sha256Prefix()
	padded := make([]byte, size)
	padded[1] = 1
	tail := size - len(digest) - len(prefix)
	for i := 2; i < tail-1; i++ {
		padded[i] = 0xff
	}
	copy(padded[tail:], prefix)
	copy(padded[tail+len(prefix):], digest)
	return padded
}

// sha256Prefix opens the DigestInfo of SHA-256 (RFC 8017 section 9.2, note 1).
func sha256Prefix() []byte {
	return []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
}

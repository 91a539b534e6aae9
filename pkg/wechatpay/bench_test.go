package wechatpay

import "testing"

func BenchmarkVerifySignature(b *testing.B) {
	env, keys := newForge(b).envelope(b, testPlain), testKeyring(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := VerifySignature(env, keys, testAt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	env, cred := newForge(b).envelope(b, testPlain), testCredentials(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(env, cred); err != nil {
			b.Fatal(err)
		}
	}
}

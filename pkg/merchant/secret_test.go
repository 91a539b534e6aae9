package merchant_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
)

func TestSecret_is_printed_by_nothing(t *testing.T) {
	t.Parallel()
	const plain = "hunter2-hunter2"
	secret := merchant.Secret(plain)
	holder := struct {
		Key  merchant.Secret
		Keys []merchant.Secret
		Map  map[string]merchant.Secret
		Ptr  *merchant.Secret
	}{secret, []merchant.Secret{secret}, map[string]merchant.Secret{"k": secret}, &secret}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s"} {
		fmt.Fprintf(&out, verb+"\n", secret)
		fmt.Fprintf(&out, verb+"\n", holder)
	}
	text, err := json.Marshal(holder)
	require.NoError(t, err)
	out.Write(text)
	logger := slog.New(slog.NewTextHandler(&out, nil))
	logger.Info("text", "secret", secret, "holder", holder)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "secret", secret, "holder", holder)
	out.WriteString(fmt.Errorf("wrapped: %v %w", secret, fmt.Errorf("%s", secret)).Error())

	require.NotContains(t, out.String(), "hunter2")
	require.NotContains(t, out.String(), fmt.Sprintf("%x", plain))
	require.Contains(t, out.String(), "[redacted]")
	require.Equal(t, plain, secret.Reveal())
}

func TestCredentials_are_printed_by_nothing(t *testing.T) {
	t.Parallel()
	key := testRSA(t)
	cred := &merchant.Credentials{
		Merchant: merchant.Merchant{MchID: "1900000109"}, PrivateKey: key,
		APIv3Keys: []merchant.Secret{testAPIKey}, APIv2Keys: []merchant.Secret{testAPIKey},
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		fmt.Fprintf(&out, verb+verb+"\n", cred, *cred)
	}
	for _, v := range []any{cred, *cred, map[string]any{"c": *cred}} {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(text)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "cred", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "cred", v)
	}
	require.NotContains(t, out.String(), testAPIKey)
	for _, n := range []*big.Int{key.D, key.Primes[0]} {
		require.NotContains(t, out.String(), n.String()[:20])
	}
	require.Contains(t, out.String(), "credentials of merchant 1900000109")
}

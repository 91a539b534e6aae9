package cli

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/problem"
)

// keyPrefix lets people and secret scanners recognise a key of ours.
const keyPrefix = "fk_"

// keyBytes: 256 random bits cannot be guessed, so a plain hash is enough to
// keep them by.
const keyBytes = 32

type newKey struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

func (c *commandLine) key() *cobra.Command {
	var name string
	create := c.leaf("new", "Make an API key and print it with its hash; it is kept nowhere", cobra.NoArgs, func(context.Context, []string) (answer, error) {
		return c.keyNew(name)
	})
	create.Flags().StringVar(&name, "name", "shop", "who will hold the key")
	return c.group("key", "Make keys: of the business API, of sessions", create, c.keySession())
}

func (c *commandLine) keyNew(name string) (answer, error) {
	raw := make([]byte, keyBytes)
	if _, err := io.ReadFull(c.Random, raw); err != nil {
		return answer{}, problem.Wrap(problem.Internal, err, "read random bytes")
	}
	k := newKey{Key: keyPrefix + base64.RawURLEncoding.EncodeToString(raw)}
	sum := sha256.Sum256([]byte(k.Key))
	k.SHA256 = hex.EncodeToString(sum[:])
	text := fmt.Sprintf("key     %s\nsha256  %s\n\nGive the key to the shop; it is shown only here. Put the hash into fenflow.yaml, under the merchant:\n\n    api_keys:\n      - {name: %s, sha256: %s}\n", k.Key, k.SHA256, name, k.SHA256)
	return answer{document: k, text: text}, nil
}

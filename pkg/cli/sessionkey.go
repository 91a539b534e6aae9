package cli

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
)

type newSessionKey struct {
	PrivateFile string `json:"private_file"`
	PublicFile  string `json:"public_file"`
}

func (c *commandLine) keySession() *cobra.Command {
	var dir string
	create := c.leaf("session", "Make the key that signs buyers' sessions, as session.key and session.pub", cobra.NoArgs, func(context.Context, []string) (answer, error) {
		return c.makeSessionKey(dir)
	})
	create.Flags().StringVar(&dir, "dir", ".", "folder for both files; nothing there is written over")
	return create
}

func (c *commandLine) makeSessionKey(dir string) (answer, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(c.Random, seed); err != nil {
		return answer{}, problem.Wrap(problem.Internal, err, "read random bytes")
	}
	private, public, err := merchant.SessionKeyPEM(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return answer{}, problem.Wrap(problem.Internal, err, "")
	}
	made := newSessionKey{PrivateFile: filepath.Join(dir, "session.key"), PublicFile: filepath.Join(dir, "session.pub")}
	if err := saveNew("--dir", made.PrivateFile, private); err != nil {
		return answer{}, err
	}
	if err := saveNew("--dir", made.PublicFile, public); err != nil {
		return answer{}, err
	}
	text := fmt.Sprintf("%s  signs buyers' sessions: the worker's alone\n%s  verifies them: for ingest, not secret\n\nPut both into fenflow.yaml:\n\n    front: {session_key_file: %s, session_public_key_files: [%s]}\n",
		made.PrivateFile, made.PublicFile, made.PrivateFile, made.PublicFile)
	return answer{document: made, text: text}, nil
}

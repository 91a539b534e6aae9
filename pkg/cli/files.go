package cli

import (
	"errors"
	"io"
	"os"

	"github.com/fenflow/fenflow/pkg/problem"
)

// input reads a file, or what is piped in where it is named -. what says whose
// file it is, such as --expect; no error repeats the name or what was read, which
// may be a secret.
func (c *commandLine) input(what, name string, most int64) ([]byte, error) {
	from := c.Pipe
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			e := problem.Wrap(problem.Usage, err, what)
			e.NextStep = "Name a file that is there and that you may read; - is what is piped in."
			return nil, e
		}
		defer func() { _ = f.Close() }() // it was only read
		from = f
	}
	if from == nil {
		return nil, problem.Newf(problem.Usage, "%s: nothing is piped in", what)
	}
	raw, err := io.ReadAll(io.LimitReader(from, most+1))
	switch {
	case err != nil:
		return nil, problem.Wrap(problem.Usage, err, what)
	case int64(len(raw)) > most:
		return nil, problem.Newf(problem.Usage, "%s: holds more than %d bytes", what, most)
	}
	return raw, nil
}

// saveNew writes a file that is on disk when it returns, for its owner's eyes
// only. It never writes over one: that may be the only copy of something.
func saveNew(flag, name string, raw []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		e := problem.Wrap(problem.Usage, err, flag)
		e.NextStep = "Name a file that does not exist yet, in a folder that you may write to."
		return e
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return problem.Wrap(problem.Internal, err, "write "+flag)
	}
	return nil
}

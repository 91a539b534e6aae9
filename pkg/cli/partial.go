package cli

// partial is a command that failed after it had done something: what was done is
// told all the same.
type partial struct {
	err      error
	document any
	text     string
}

func (p *partial) Error() string { return p.err.Error() }

// Unwrap gives why it failed.
func (p *partial) Unwrap() error { return p.err }

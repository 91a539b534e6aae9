package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Tokens keeps the operators' tokens in the database at a URL.
type Tokens interface {
	// Create makes a token. Its secret is returned and kept nowhere. Nothing is
	// made where a live token has the name.
	Create(ctx context.Context, url string, t pay.Token) (secret string, created bool, err error)
	// List lists all tokens, revoked ones too.
	List(ctx context.Context, url string) ([]pay.Token, error)
	// Revoke ends the live token of a name, and says whether there was one.
	Revoke(ctx context.Context, url, name, actor string) (bool, error)
}

type newToken struct {
	Token string        `json:"token"`
	Name  string        `json:"name"`
	Role  pay.TokenRole `json:"role"`
}

type tokenDocument struct {
	TokenID    string        `json:"token_id"`
	Name       string        `json:"name"`
	Role       pay.TokenRole `json:"role"`
	CreatedAt  time.Time     `json:"created_at"`
	CreatedBy  string        `json:"created_by"`
	LastUsedAt time.Time     `json:"last_used_at,omitzero"`
	RevokedAt  time.Time     `json:"revoked_at,omitzero"`
}

func (c *commandLine) token() *cobra.Command {
	var role string
	create := c.leaf("create NAME", "Make a token and print it; only its hash is kept", cobra.ExactArgs(1), func(ctx context.Context, args []string) (answer, error) {
		return c.tokenCreate(ctx, args[0], pay.TokenRole(role))
	})
	create.Flags().StringVar(&role, "role", string(pay.TokenRead), "read: sees everything, changes nothing; operate: acts, too")
	_ = create.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{string(pay.TokenRead), string(pay.TokenOperate)}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	list := c.leaf("ls", "List tokens, revoked ones too", cobra.NoArgs, func(ctx context.Context, _ []string) (answer, error) { return c.tokenList(ctx) })
	revoke := c.leaf("revoke NAME", "Revoke a token; it is refused from the next request on", cobra.ExactArgs(1), func(ctx context.Context, args []string) (answer, error) {
		return c.tokenRevoke(ctx, args[0])
	})
	return c.group("token", "Make and revoke operators' tokens, directly in the database", create, list, revoke)
}

func (c *commandLine) tokenCreate(ctx context.Context, name string, role pay.TokenRole) (answer, error) {
	if role != pay.TokenRead && role != pay.TokenOperate {
		return answer{}, problem.Newf(problem.Usage, "--role is %q; it must be %s or %s", string(role), pay.TokenRead, pay.TokenOperate)
	}
	url, err := c.databaseURL("that keeps the tokens")
	if err != nil {
		return answer{}, err
	}
	secret, created, err := c.Tokens.Create(ctx, url, pay.Token{Name: name, Role: role, CreatedBy: c.actor()})
	switch {
	case err != nil:
		return answer{}, tokenError(err)
	case !created:
		return answer{}, problem.New(problem.TokenNameTaken, name)
	}
	text := fmt.Sprintf("token  %s\nname   %s\nrole   %s\n\nGive the token to its bearer; it is shown only here. They put it into FENFLOW_TOKEN,\nor into a file that FENFLOW_TOKEN_FILE names.\n", secret, name, role)
	return answer{document: newToken{secret, name, role}, text: text}, nil
}

func (c *commandLine) tokenList(ctx context.Context) (answer, error) {
	url, err := c.databaseURL("that keeps the tokens")
	if err != nil {
		return answer{}, err
	}
	tokens, err := c.Tokens.List(ctx, url)
	if err != nil {
		return answer{}, tokenError(err)
	}
	documents := make([]tokenDocument, len(tokens))
	rows := [][]string{{"NAME", "ROLE", "CREATED", "BY", "LAST USED", "REVOKED"}}
	for i, t := range tokens {
		documents[i] = tokenDocument{t.ID, t.Name, t.Role, t.CreatedAt, t.CreatedBy, t.LastUsedAt, t.RevokedAt}
		rows = append(rows, []string{t.Name, string(t.Role), minute(t.CreatedAt, "-"), t.CreatedBy, minute(t.LastUsedAt, "never"), minute(t.RevokedAt, "no")})
	}
	text := "There is no token: `fenflow token create NAME` makes one.\n"
	if len(tokens) > 0 {
		text = table(rows...)
	}
	return answer{document: map[string]any{"tokens": documents}, text: text}, nil
}

func (c *commandLine) tokenRevoke(ctx context.Context, name string) (answer, error) {
	url, err := c.databaseURL("that keeps the tokens")
	if err != nil {
		return answer{}, err
	}
	revoked, err := c.Tokens.Revoke(ctx, url, name, c.actor())
	switch {
	case err != nil:
		return answer{}, tokenError(err)
	case !revoked:
		return answer{}, problem.New(problem.UnknownToken, name)
	}
	return answer{document: map[string]any{"revoked": name}, text: "revoked " + name + "\n"}, nil
}

// actor names this person to the audit log, as far as the environment does.
func (c *commandLine) actor() string {
	if name, _ := c.Lookup("USER"); name != "" {
		return "cli:" + name
	}
	return "cli"
}

// tokenError: what has no kind is the database's.
func tokenError(err error) error {
	var known *problem.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, ErrUnavailable):
		return problem.Wrap(problem.DatabaseUnavailable, err, "")
	}
	return problem.Wrap(problem.Internal, err, "")
}

func minute(at time.Time, none string) string {
	if at.IsZero() {
		return none
	}
	return at.UTC().Format("2006-01-02 15:04Z")
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const addLong = `Add a business system, which is told of one merchant's events. Its key is made here: the seed goes into a
new file and nowhere else, and only the public half to fenflow. Prints what NATS needs to let it in.

The same command again changes nothing; with the key of before (--nkey) it prints the same once more.`

// subscription is what the flags say.
type subscription struct {
	mchid, from, seedFile, nkey, reason string
	facts                               []string
}

func (c *commandLine) subscriberAdd() *cobra.Command {
	var f subscription
	add := c.asks("add NAME", "Add a business system that is told of a merchant's events", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		return c.add(ctx, api, args[0], f)
	})
	add.Long = addLong
	flags := add.Flags()
	flags.StringVar(&f.mchid, "mchid", "", "the merchant whose events it is told of")
	flags.StringSliceVar(&f.facts, "facts", nil, "only these, such as order.paid,refund.succeeded (default: all)")
	flags.StringVar(&f.from, "from", "all", "where it begins: all, now, 2h or 3d ago, or an instant of RFC 3339")
	flags.StringVar(&f.seedFile, "seed-file", "", "write the seed into this new file (default: NAME.nk); - is stdout")
	flags.StringVar(&f.nkey, "nkey", "", "the public half of a key that the business system has already: U…")
	because(add, &f.reason)
	// It fails only where the flag is not there.
	_ = add.MarkFlagRequired("mchid")
	add.MarkFlagsMutuallyExclusive("nkey", "seed-file")
	// It fails only where the flag is not there.
	_ = add.RegisterFlagCompletionFunc("facts", cobra.FixedCompletions(factWords(), cobra.ShellCompDirectiveNoFileComp))
	return add
}

func factWords() []string {
	var words []string
	for _, f := range pay.Facts() {
		words = append(words, string(f))
	}
	return words
}

func (c *commandLine) add(ctx context.Context, api remote, name string, f subscription) (answer, error) {
	body, err := f.body(name, c.now())
	if err != nil {
		return answer{}, err
	}
	if f.seedFile == "-" && c.json {
		return answer{}, problem.New(problem.Usage, "--seed-file - and --json both want stdout: name a file")
	}
	key := &newSeed{public: f.nkey}
	if f.nkey == "" {
		if key, err = c.makeSeed(name, f.seedFile); err != nil {
			return answer{}, err
		}
	}
	body.Nkey = key.public
	s, raw, err := document[operatorapi.Subscriber](api.ask(ctx)(operatorapi.NewAddSubscriberRequest(api.base(), body)))
	if err != nil {
		return answer{}, key.without(err)
	}
	text := c.addedText(&s, key)
	if key.file == "-" {
		c.tell(text)
		return answer{text: key.seed + "\n"}, nil
	}
	return answer{document: raw, text: text}, nil
}

// body is the request without the key.
func (f subscription) body(name string, now time.Time) (operatorapi.AddSubscriberJSONRequestBody, error) {
	body := operatorapi.AddSubscriberJSONRequestBody{Name: name, Mchid: f.mchid, From: &f.from}
	var err error
	if body.Reason, err = theReason(f.reason); err != nil {
		return body, err
	}
	if _, err := pay.ParseSubscriberName(name); err != nil {
		return body, problem.Newf(problem.Usage, "%q %s", name, err) // before a file of that name is made
	}
	if len(f.facts) > 0 {
		body.Facts = &f.facts
	}
	if f.from != "all" && f.from != "now" {
		at, err := parseSince(f.from, now)
		if err != nil || at == nil {
			return body, problem.Newf(problem.Usage, "--from %q: must be all, now, a span such as 90m, 2h or 3d, or an instant such as 2026-03-01T08:00:00Z", f.from)
		}
		body.From = new(at.Format(time.RFC3339Nano))
	}
	return body, nil
}

// newSeed is a key that was made here; without a file it was not.
type newSeed struct {
	public, file, seed string
}

// makeSeed makes a key and keeps its seed before anybody is told of it: a seed that is
// lost would be a subscriber that nobody can be.
func (c *commandLine) makeSeed(name, file string) (*newSeed, error) {
	pair, err := nkeys.CreatePairWithRand(nkeys.PrefixByteUser, c.Random)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "make a key")
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "make a seed")
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "make a public key")
	}
	if file == "" {
		file = name + ".nk"
	}
	made := &newSeed{public: public, file: file, seed: string(seed)}
	if file == "-" {
		return made, nil
	}
	return made, saveSeed(file, seed)
}

// saveSeed keeps a seed in a new file; where there is one with a seed, its error
// says how to go on with that.
func saveSeed(file string, seed []byte) error {
	err := saveNew("--seed-file", file, append(seed, '\n'))
	var p *problem.Error
	if errors.Is(err, fs.ErrExist) && errors.As(err, &p) {
		if public := publicOf(file); public != "" {
			p.NextStep += " To go on with the seed that it holds, say --nkey " + public + "."
		}
	}
	return err
}

// publicOf is the public half of the seed that a file holds, if it holds one.
func publicOf(file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(raw))))
	if err != nil {
		return ""
	}
	public, err := pair.PublicKey()
	if err != nil || !nkeys.IsValidPublicUserKey(public) {
		return ""
	}
	return public
}

// without takes a seed back that certainly nobody was added with. Where that is not
// certain it stays, and the error says how to go on with it.
func (k *newSeed) without(err error) error {
	if k.seed == "" {
		return err
	}
	if problem.EntryOf(err).Status < 500 {
		if k.file != "-" {
			_ = os.Remove(k.file) // it was made a moment ago, for nothing
		}
		return err
	}
	// Not its cause: what the API says to do next does not help here.
	e := problem.Newf(problem.Unavailable, "the subscriber may have been added: %s", err)
	e.NextStep = "Run the command again with --nkey " + k.public + " in the place of --seed-file; the seed is in " + k.file + "."
	if k.file == "-" {
		e.NextStep = "Look at `fenflow subscriber ls`. If it is there, remove it: its seed was not printed. Then run the command again."
	}
	return e
}

func (c *commandLine) addedText(s *operatorapi.Subscriber, key *newSeed) string {
	seed := ""
	switch {
	case key.file == "-":
		seed = "on stdout; it is kept nowhere else"
	case key.file != "":
		seed = "in " + key.file + "; it is kept nowhere else, and belongs to the business system alone"
	}
	said := c.facts(append(subscriberFacts(s), fact("seed", seed))...)
	return said + fmt.Sprintf(`
Next:
1. Add this to subscribers/accounts.conf, beside nats.conf ("fenflow subscriber show %s --nats" prints it again):

%s
2. Have NATS read it, twice: what a new account may ask for works from the second time on.
   nats-server --signal reload     or     docker compose kill -s HUP nats
3. Give the business system its seed and what stands beside "connects to" above.
`, plain(s.Name), eachPlain(value(s.NatsAccount)))
}

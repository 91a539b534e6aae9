package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fenflow/fenflow/pkg/operatorapi"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

const setMenuLong = `Replace the custom menu of an official account by the one in FILE (- is what is piped in): WeChat's own
JSON, {"button": [...]}, or what "fenflow wechat menu get APPID --json" printed. It is sent as it is, once it is
within WeChat's limits. Phones show it within minutes, at most a day.`

// maxMenuFile leaves room for a reason beside it in a request.
const maxMenuFile = 60 << 10

func (c *commandLine) wechat() *cobra.Command {
	return c.group("wechat", "Official accounts and mini programs at WeChat", c.group("menu", "The custom menu of an official account", c.menuGet(), c.menuSet(), c.menuRm()))
}

// menuOf is a menu as people read it; what else there is to a button is in --json.
type menuOf struct {
	Buttons []menuButton `json:"button"`
}

type menuButton struct {
	Type      string       `json:"type"`
	Name      string       `json:"name"`
	Key       string       `json:"key"`
	URL       string       `json:"url"`
	AppID     string       `json:"appid"`
	PagePath  string       `json:"pagepath"`
	MediaID   string       `json:"media_id"`
	ArticleID string       `json:"article_id"`
	Below     []menuButton `json:"sub_button"`
}

func (c *commandLine) menuGet() *cobra.Command {
	return c.asks("get APPID", "Show the menu that WeChat has; --json gives it as WeChat writes it", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		appid, err := theAppID(args[0])
		if err != nil {
			return answer{}, err
		}
		return c.menuAnswer(api.ask(ctx)(operatorapi.NewGetMenuRequest(api.base(), appid)))
	})
}

func (c *commandLine) menuSet() *cobra.Command {
	var reason string
	var dry bool
	set := c.asks("set APPID FILE", "Replace the menu by the one in a file; - is what is piped in", cobra.ExactArgs(2), func(ctx context.Context, api remote, args []string) (answer, error) {
		appid, err := theAppID(args[0])
		if err != nil {
			return answer{}, err
		}
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		raw, err := c.input("FILE", args[1], maxMenuFile)
		if err != nil {
			return answer{}, err
		}
		body, err := menuBody(raw, why, dry)
		if err != nil {
			return answer{}, err
		}
		set, err := c.menuAnswer(api.ask(ctx)(operatorapi.NewSetMenuRequestWithBody(api.base(), appid, "application/json", body)))
		if dry && err == nil {
			set.text += "\nIt is within WeChat's limits. Nothing was changed.\n"
		}
		return set, inFile(err)
	})
	set.Long = setMenuLong
	set.Flags().BoolVar(&dry, "dry-run", false, "hold the menu against WeChat's limits, and change nothing")
	because(set, &reason)
	return set
}

func (c *commandLine) menuRm() *cobra.Command {
	var reason string
	var yes bool
	rm := c.asks("rm APPID", "Take the menu away", cobra.ExactArgs(1), func(ctx context.Context, api remote, args []string) (answer, error) {
		appid, err := theAppID(args[0])
		if err != nil {
			return answer{}, err
		}
		why, err := theReason(reason)
		if err != nil {
			return answer{}, err
		}
		if sure, err := c.sure(ctx, "Take the menu of "+appid+" away", yes); err != nil || !sure {
			return declined(), err
		}
		return c.menuAnswer(api.ask(ctx)(operatorapi.NewRemoveMenuRequest(api.base(), appid, operatorapi.RemoveMenuJSONRequestBody{Reason: why})))
	})
	because(rm, &reason)
	rm.Flags().BoolVar(&yes, "yes", false, "do not ask whether that is meant")
	return rm
}

// inFile: what is wrong with a menu stands in the file, and in no flag.
func inFile(err error) error {
	var r *refusal
	if errors.As(err, &r) && slices.ContainsFunc(r.problem.Fields, func(f problem.Field) bool { return strings.HasPrefix(f.Field, "button") || f.Field == "menu" }) {
		r.problem.NextStep = "Correct these places of FILE, and run the command again."
	}
	return err
}

func theAppID(text string) (string, error) {
	if _, err := pay.ParseAppID(text); err != nil {
		return "", problem.Newf(problem.Usage, "%q is no appid, such as wx8888888888888888", text)
	}
	return text, nil
}

// menuBody is the request with the menu as the file has it. What `get --json` printed
// has it one level deeper.
func menuBody(file []byte, reason string, dry bool) (*bytes.Buffer, error) {
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(file, &whole); err != nil {
		e := problem.Wrap(problem.Usage, err, "FILE holds no JSON object")
		e.NextStep = `Write the menu as WeChat documents it: {"button": [{"type": "view", "name": "…", "url": "…"}]}.`
		return nil, e
	}
	menu := json.RawMessage(file)
	if inner, there := whole["menu"]; there && whole["button"] == nil {
		menu = inner
	}
	request := map[string]any{"menu": menu, "reason": reason}
	if dry {
		request["dry_run"] = true
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(request); err != nil {
		return nil, problem.Wrap(problem.Internal, err, "write a request")
	}
	return &body, nil
}

func (c *commandLine) menuAnswer(raw json.RawMessage, err error) (answer, error) {
	read, raw, err := document[struct {
		AppID string  `json:"appid"`
		Menu  *menuOf `json:"menu"`
	}](raw, err)
	if err != nil {
		return answer{}, err
	}
	if read.Menu == nil {
		return answer{document: raw, text: fmt.Sprintf("%s has no menu.\n", plain(read.AppID))}, nil
	}
	return answer{document: raw, text: c.menuText(*read.Menu)}, nil
}

func (c *commandLine) menuText(m menuOf) string {
	var rows [][]cell
	add := func(place string, b menuButton) {
		rows = append(rows, []cell{{place}, {b.kind()}, {b.Name}, b.does()})
	}
	for i, b := range m.Buttons {
		place := fmt.Sprint(i + 1)
		add(place, b)
		for n, below := range b.Below {
			add(fmt.Sprintf("%s.%d", place, n+1), below)
		}
	}
	return c.grid([]string{"BUTTON", "TYPE", "NAME", "DOES"}, rows...)
}

func (b menuButton) kind() string {
	if len(b.Below) > 0 {
		return "opens"
	}
	return b.Type
}

func (b menuButton) does() cell {
	var said cell
	for _, one := range [][2]string{{"key", b.Key}, {"", b.URL}, {"appid", b.AppID}, {"page", b.PagePath}, {"media", b.MediaID}, {"article", b.ArticleID}} {
		if one[1] != "" {
			said = append(said, strings.TrimSpace(one[0]+" "+one[1]))
		}
	}
	return said
}

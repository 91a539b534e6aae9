package simulator

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// vectors are known answers, computed elsewhere.
type vector struct {
	ID       string            `json:"id"`
	Params   map[string]string `json:"params"`
	Key      string            `json:"key"`
	SignType SignType          `json:"sign_type"`
	Sign     string            `json:"sign"`
	XML      string            `json:"xml"`
	CSV      string            `json:"csv"`
	SHA1     string            `json:"sha1"`
	Row      string            `json:"row"`
}

func vectorOf(t *testing.T, id string) vector {
	t.Helper()
	text, err := os.ReadFile("testdata/platform_vectors.json")
	require.NoError(t, err)
	var all []vector
	require.NoError(t, json.Unmarshal(text, &all))
	for _, v := range all {
		if v.ID == id {
			return v
		}
	}
	t.Fatalf("no vector %s", id)
	return vector{}
}

func TestSignV2_known_answers(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"v2sign-md5", "v2sign-hmac"} {
		v := vectorOf(t, id)
		fields := v2Fields(v.Params)
		fields["empty"] = ""
		require.Equal(t, v.Sign, signV2(fields, v.Key, v.SignType))
	}
}

func TestParseV2(t *testing.T) {
	t.Parallel()
	good := "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xml>\n  <a><![CDATA[1 <2>]]></a>\n  <b_1>x&amp;y&#33;</b_1><c/><d><![CDATA[p]]>q</d>\n</xml>\n"
	fields, err := parseV2([]byte(good))
	require.NoError(t, err)
	require.Equal(t, v2Fields{"a": "1 <2>", "b_1": "x&y!", "c": "", "d": "pq"}, fields)

	bad := map[string]struct{ text, says string }{
		"a document type":       {vectorOf(t, "gen-v2notify-xxe").XML, "document type"},
		"a lone entity":         {`<xml><a>&e;</a></xml>`, "not well-formed"},
		"a lower-case doctype":  {`<!doctype xml><xml><a>1</a></xml>`, "document type"},
		"a broken doctype":      {`<xml><a><!DOCTYPE</a></xml>`, "document type"},
		"another directive":     {`<!ELEMENT a><xml><a>1</a></xml>`, "directive"},
		"an instruction":        {`<xml><?php x?><a>1</a></xml>`, "instruction"},
		"a comment":             {`<xml><a>1<!-- -->2</a></xml>`, "comment"},
		"an attribute":          {`<xml><a b="c">1</a></xml>`, "attribute"},
		"a namespace":           {`<xml xmlns="urn:x"><a>1</a></xml>`, "namespace"},
		"a prefix":              {`<xml><x:a>1</x:a></xml>`, "namespace"},
		"an element twice":      {`<xml><a>1</a><a>2</a></xml>`, "twice"},
		"nesting":               {`<xml><a><b>1</b></a></xml>`, "holds another"},
		"another root":          {`<root><a>1</a></root>`, "root element"},
		"two roots":             {`<xml><a>1</a></xml><xml/>`, "follows"},
		"text beside elements":  {`<xml>1<a>1</a></xml>`, "outside"},
		"text after the end":    {`<xml><a>1</a></xml>x`, "outside"},
		"half a message":        {`<xml><a>1</a>`, "not well-formed"},
		"crossed tags":          {`<xml><a>1</b></xml>`, "not well-formed"},
		"nothing":               {` `, "no element"},
		"another encoding":      {`<?xml version="1.0" encoding="GBK"?><xml><a>1</a></xml>`, "not well-formed"},
		"very many elements":    {"<xml>" + strings.Repeat("<a/>", 1) + manyElements(200) + "</xml>", "more than"},
		"a name with a hyphen":  {`<xml><a-b>1</a-b></xml>`, "name"},
		"a control character":   {"<xml><a>\x01</a></xml>", "not well-formed"},
		"an unended CDATA text": {`<xml><a><![CDATA[1</a></xml>`, "not well-formed"},
	}
	for name, row := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseV2([]byte(row.text))
			require.ErrorContains(t, err, row.says)
		})
	}
}

func manyElements(n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString("<e" + fen(int64(i)) + "/>")
	}
	return out.String()
}

// FuzzParseV2: whatever comes in, nothing panics, and what is understood is written
// and read again as the same.
func FuzzParseV2(f *testing.F) {
	f.Add([]byte(`<xml><a><![CDATA[1]]></a><b>2</b></xml>`))
	f.Add([]byte(`<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "1">]><xml><a>&e;</a></xml>`))
	f.Add([]byte("<xml><a>]]&gt;</a></xml>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		fields, err := parseV2(text)
		if err != nil {
			return
		}
		again, err := parseV2(xmlOf(fields))
		if err != nil && len(xmlOf(fields)) < 2*len(text)+64 {
			require.Fail(t, "its own writing is not understood", "%v: %q", err, xmlOf(fields))
		}
		if err == nil && !bytes.ContainsRune(text, '\r') && !bytes.Contains(text, []byte("&#")) {
			require.Equal(t, fields, again)
		}
	})
}

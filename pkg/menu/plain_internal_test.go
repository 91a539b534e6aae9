package menu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlain_keeps_everything_and_escapes_nothing_that_may_stand(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`{"b":"\u4eca\u65e5\u8336","a":[1.50,"x\u0026y",{"\u003c":null}, true,[]],"c":{}}`: `{"b":"今日茶","a":[1.50,"x&y",{"<":null},true,[]],"c":{}}`,
		`{"quote":"\"\\\n"}`: `{"quote":"\"\\\n"}`,
		`{"a":1,"a":2}`:      `{"a":1,"a":2}`,
		`"x"`:                `"x"`,
		``:                   ``,
	} {
		got, err := plain([]byte(given))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	_, err := plain([]byte(`{"a":`))
	require.ErrorContains(t, err, "read the menu")
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte(`{"button":[{"name":"\u4eca","url":"https://x/?a=1\u0026b=2"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := plain(raw)
		if err != nil {
			return
		}
		again, err := plain(once)
		require.NoError(t, err)
		require.Equal(t, string(once), string(again))
	})
}

package weixin

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The values of WeChat's own samples.
func TestMessageCrypt_agrees_with_the_official_samples(t *testing.T) {
	t.Parallel()
	const key, appid, message = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wxb11529c136998cb6", "我是中文abcd123"
	sealed, err := sealMessage(key, appid, "aaaabbbbccccdddd", []byte(message))
	require.NoError(t, err)
	require.Equal(t, "jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg==", sealed)
	plain, err := OpenMessage(key, appid, sealed)
	require.NoError(t, err)
	require.Equal(t, message, string(plain))
	_, err = OpenMessage(key, "wx0000000000000000", sealed)
	require.ErrorContains(t, err, "appid inside")

	const echo = "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
	require.Equal(t, "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3", signParts("QDG6eK", "1409659589", "263014780", echo))
	plain, err = OpenMessage("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "wx5823bf96d3bd56c7", echo)
	require.NoError(t, err)
	require.Equal(t, "1616140317555161061", string(plain))
	require.Equal(t, "6db4861c77e0633e0105672fcd41c9fc2766e26e", signParts("token", "timestamp", "nonce"))
}

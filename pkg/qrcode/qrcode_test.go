package qrcode_test

import (
	"bytes"
	"encoding/xml"
	"image/png"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"rsc.io/qr"

	"github.com/fenflow/fenflow/pkg/qrcode"
)

const codeURL = "weixin://wxpay/bizpayurl?pr=JyC91EIz1"

// grid is which modules are black, the margin included.
type grid [][]bool

func newGrid(side int) grid {
	g := make(grid, side)
	for y := range g {
		g[y] = make([]bool, side)
	}
	return g
}

func wanted(t *testing.T, text string) grid {
	t.Helper()
	code, err := qr.Encode(text, qr.M)
	require.NoError(t, err)
	g := newGrid(code.Size + 8)
	for y := range g {
		for x := range g {
			g[y][x] = code.Black(x-4, y-4)
		}
	}
	return g
}

func TestSVG_draws_the_modules_and_four_white_ones_around(t *testing.T) {
	t.Parallel()
	for _, text := range []string{codeURL, "1", strings.Repeat("茶", 300)} {
		code, err := qrcode.New(text)
		require.NoError(t, err)
		svg, want := code.SVG(), wanted(t, text)
		side := strconv.Itoa(len(want))
		require.Contains(t, svg, `viewBox="0 0 `+side+" "+side+`"`)
		got := newGrid(len(want))
		for _, bar := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(svg, -1) {
			x, y, length := number(t, bar[1]), number(t, bar[2]), number(t, bar[3])
			require.Equal(t, bar[3], bar[4])
			for i := range length {
				got[y][x+i] = true
			}
		}
		require.Equal(t, want, got)
	}
}

func TestSVG_is_a_document_in_which_the_text_cannot_stand(t *testing.T) {
	t.Parallel()
	code, err := qrcode.New(`"/><script>alert(1)</script>`)
	require.NoError(t, err)
	require.NotContains(t, code.SVG(), "script")
	for dec := xml.NewDecoder(strings.NewReader(code.SVG())); ; {
		if _, err := dec.Token(); err != nil {
			require.ErrorIs(t, err, io.EOF)
			return
		}
	}
}

func TestPNG_shows_the_same_modules_at_eight_pixels_each(t *testing.T) {
	t.Parallel()
	code, err := qrcode.New(codeURL)
	require.NoError(t, err)
	picture, err := png.Decode(bytes.NewReader(code.PNG()))
	require.NoError(t, err)
	want := wanted(t, codeURL)
	require.Equal(t, 8*len(want), picture.Bounds().Dx())
	require.Equal(t, 8*len(want), picture.Bounds().Dy())
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			r, _, _, _ := picture.At(x, y).RGBA()
			require.Equal(t, want[y/8][x/8], r == 0, "pixel %d %d", x, y)
		}
	}
}

func TestNew_says_that_a_text_is_too_long(t *testing.T) {
	t.Parallel()
	_, err := qrcode.New(strings.Repeat("x", 3000))
	require.ErrorContains(t, err, "too long")
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

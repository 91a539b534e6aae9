package qrcode

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

const (
	// quietZone is the white margin in modules, which qr draws around a PNG by itself.
	quietZone = 4
	// scale is the pixels of a module in a PNG: a code_url makes a picture of
	// about 330 pixels, which a phone reads from an arm's length.
	scale = 8
)

// Code is a QR code.
type Code struct{ modules *qr.Code }

// New makes the code of a text. Texts of more than about 2300 bytes have none.
func New(text string) (Code, error) {
	modules, err := qr.Encode(text, qr.M)
	if err != nil {
		return Code{}, fmt.Errorf("make QR code: %w", err)
	}
	modules.Scale = scale
	return Code{modules}, nil
}

// PNG is the code as a picture of two colours.
func (c Code) PNG() []byte { return c.modules.PNG() }

// SVG is the code as a document of its own, which also stands in a page. It has
// no size: the page gives it one.
func (c Code) SVG() string {
	side := c.modules.Size + 2*quietZone
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="QR code" viewBox="0 0 %d %d" shape-rendering="crispEdges">`, side, side)
	fmt.Fprintf(&svg, `<path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="`, side, side)
	for y := range c.modules.Size {
		c.drawRow(&svg, y)
	}
	svg.WriteString(`"/></svg>`)
	return svg.String()
}

// drawRow draws each run of black modules as one bar.
func (c Code) drawRow(svg *strings.Builder, y int) {
	for x := 0; x < c.modules.Size; x++ {
		from := x
		for c.modules.Black(x, y) {
			x++
		}
		if length := x - from; length > 0 {
			fmt.Fprintf(svg, "M%d %dh%dv1h-%dz", from+quietZone, y+quietZone, length, length)
		}
	}
}

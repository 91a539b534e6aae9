package simulator

import (
	"fmt"
	"html/template"
	"strings"

	"rsc.io/qr"
)

// quietZone is the white margin in modules (ISO/IEC 18004 asks for four).
const quietZone = 4

// qrSVG draws a text as a QR code, black on white whatever the page's colours are:
// readers want it so.
func qrSVG(text, label string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("encode QR code: %w", err)
	}
	side := code.Size + 2*quietZone
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg class="qr" role="img" aria-label="%s" viewBox="0 0 %d %d" shape-rendering="crispEdges">`,
		template.HTMLEscapeString(label), side, side)
	fmt.Fprintf(&svg, `<path fill="#fff" d="M0 0h%dv%dh-%dz"/><path fill="#000" d="`, side, side, side)
	for y := range code.Size {
		drawRow(&svg, code, y)
	}
	svg.WriteString(`"/></svg>`)
	// Made of numbers here; the one text in it is escaped.
	return template.HTML(svg.String()), nil
}

// drawRow makes one bar of each run of black modules.
func drawRow(svg *strings.Builder, code *qr.Code, y int) {
	for x := 0; x < code.Size; x++ {
		if !code.Black(x, y) {
			continue
		}
		from := x
		for code.Black(x+1, y) {
			x++
		}
		length := x - from + 1
		fmt.Fprintf(svg, "M%d %dh%dv1h-%dz", from+quietZone, y+quietZone, length, length)
	}
}

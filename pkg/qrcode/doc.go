// Package qrcode draws a text as a QR code.
//
// Its job: SVG for pages, PNG for whoever takes no SVG.
//
// Its neighbours: wechatpay, which hands out the code_url of a Native order drawn;
// rsc.io/qr, which knows where the modules go.
//
// It guarantees error correction of level M, the four white modules around that
// readers want (ISO/IEC 18004), black on white whatever the colours of the page,
// and that nothing of the text can get into the markup.
//
// It leaves to others: what the text means, and when a code runs out.
package qrcode

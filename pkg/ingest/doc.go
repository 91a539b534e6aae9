// Package ingest is the HTTP edge: what WeChat Pay posts, and what shops ask.
//
// Its job: take a notification exactly as it arrived, check it as far as
// public keys go, put its bytes on the bus, and tell WeChat Pay what became of
// it; take what a shop asks for, check it, and hand it on as a command or ask a
// worker.
//
// Its neighbours: package bus behind the small interfaces declared here,
// packages merchant and wechatpay for keys and signatures, session for whose a
// buyer's session is, httpedge for what it does as front does, which is the
// listener of buyers. app/ingest wires them and owns the listeners.
//
// What it guarantees:
//   - a 2xx to WeChat Pay means that the bytes are on disk: verified, published,
//     and the PubAck received, in this order. Every other outcome is 4xx or
//     5xx, so that WeChat Pay repeats, and leaves nothing in the stream;
//   - it holds no private key, no API secret and no database;
//   - it takes no traffic while the broker's durability is not proven.
//
// What it leaves to others: the meaning of a notification (package settle
// verifies it again and decrypts it), v2 signatures, whose key is shared (a
// worker answers on request), and everything about an order after its command.
//
// # Requests to the worker
//
// All are core NATS requests in JSON:
//
//	fenflow.verify.v2    {"mchid","kind","headers","body"(base64)} → {"ok","reason"}
//	fenflow.verify.keys  {"mchid"} → anything; new keys arrive through the bucket
//	fenflow.read.order   {"mchid","out_trade_no"} → {"status","body"}
//	fenflow.read.history {"mchid","out_trade_no"} → {"status","body"}
//	fenflow.read.refund  {"mchid","out_refund_no"} → {"status","body"}
//	fenflow.read.command {"mchid","command_id"}   → {"status","body"}
//	fenflow.read.account {"mchid","account_id"}   → {"status","body"}
//	fenflow.act.check    {"mchid","out_trade_no"} → {"status","body"}
//	fenflow.act.profile  {"mchid","account_id","appid"} → {"status","body"}
//	fenflow.act.abnormal {"mchid","out_refund_no","actor","type","bank_type","bank_account","real_name"}
//	                     → {"status","body"}; the last three are absent for MERCHANT_BANK_CARD
//
// # The body of order.create
//
// A command's body is one JSON object with exactly the fields that the shop
// sent and one more, time_expire:
//
//	out_trade_no  string   6–32 of 0-9 A-Z a-z _ - | *
//	appid         string   one of the merchant's
//	client        string   jsapi | mini_program | native | app | h5
//	description   string   1–127 characters
//	amount_fen    integer  > 0
//	currency      string   CNY
//	openid        string   for jsapi and mini_program; absent for the others
//	account_id    string   UUID of the buyer's account, for native, app and h5;
//	                       absent when not given
//	attach        string   absent when not given
//	expires_at    string   RFC 3339, UTC, whole seconds; absent when not given.
//	                       The worker refuses a new order with no time left; the
//	                       repeat of one that exists is taken whatever its time
//	time_expire   string   RFC 3339, UTC, whole seconds: expires_at, or two
//	                       hours after the command was received
//
// and of h5 alone:
//
//	payer_client_ip string the buyer's IP address; no loopback
//	h5_type       string   Wap | iOS | Android
//	app_name      string   this and the rest absent when not given
//	app_url       string
//	bundle_id     string
//	package_name  string
//
// time_expire is no part of the digest: it differs between two calls that mean
// the same. The digest is the hex SHA-256 of the meaning; see request.Digest.
// account_id and the fields of h5 have a line in it only where they are given.
//
// The bodies of order.close and refund.create are in package request. Neither
// has a deadline.
package ingest

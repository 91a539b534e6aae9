// Package front is the front door: what buyers' pages, mini programs and apps
// ask of fenflow, and what WeChat's message servers post.
//
// Its job: send buyers to WeChat and take them back, have their codes turned
// into sessions, hand out what wx.config needs, show buyers their own orders and
// how to pay them, and pass server messages on.
//
// Its neighbours: everything that takes a secret or a book is a request to a
// worker, over the small interfaces declared here; merchant says where a login
// may lead back to, session verifies tokens with public keys. app/ingest wires
// it and owns the listener.
//
// What it guarantees:
//   - it holds no AppSecret, no message token, no private key and no database,
//     and asks the worker nothing but fenflow.wechat.*;
//   - a login leads back to an address that is configured, or nowhere; it ends
//     in the browser that began it, and its ticket is worth nothing without the
//     verifier that never left the page;
//   - no code, ticket, verifier, session or query string is logged;
//   - one address, or one buyer, cannot use up the door for all others.
//
// What it leaves to others: the worker verifies each session again from the
// token itself, decides whose order it is, and what a login is worth; the shop's
// back end places orders, which are not to be had here.
//
// # Requests to the worker
//
// All are core NATS requests in JSON, answered {"status":…,"body":{…}} (package
// problem):
//
//	fenflow.wechat.authorize {"appid","code","challenge"} → {"ticket"}
//	fenflow.wechat.login     {"appid","ticket","verifier"} or {"appid","code", optional:
//	                         "phone_code","encrypted_data","iv","raw_data","signature"}
//	                         → {"session","token_type","expires_at","account_id"}
//	fenflow.wechat.jsconfig  {"appid","url"} → {"appId","timestamp","nonceStr","signature"}
//	fenflow.wechat.message   {"appid","method","query","content_type","body"(base64)}
//	                         → {"content_type","body"(text)}
//	fenflow.wechat.order     {"session","out_trade_no"} → the buyer's order
//	fenflow.wechat.check     {"session","out_trade_no"} → the same, after asking WeChat Pay
//	fenflow.wechat.pay       {"session","out_trade_no", optional: "redirect_url"} → pay parameters
package front

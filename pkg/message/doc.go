// Package message takes what WeChat tells an app: messages of users, and events
// such as subscribe.
//
// Its job: prove that a push comes from WeChat, put it on the bus for business
// systems, and answer WeChat within its five seconds, with the reply that the
// configuration has for it. Its neighbours: the edge hands a push on as it came;
// wechat checks, opens and seals; bus keeps the stream MESSAGE; store remembers
// what was published; app/worker runs it, for it takes an app's message token and
// AES keys.
//
// It guarantees that WeChat is told "success" only for what the broker has on
// disk: with broker or database away the answer is 503, and WeChat repeats. It
// guarantees that a repeat is told to business systems once: what was published is
// remembered for a week, and where a crash came between the two, the repeat goes
// out under the same id, which broker and subscribers know. Where an app has AES
// keys, only the sealed part of a push counts: the signature of a plain one covers
// no text, so that whoever once saw an address of WeChat's could write messages
// with it. (In WeChat's compatible mode both parts come, and the plain one is not
// looked at.)
//
// It leaves to others: what a message means, replies that take thought (the
// customer service API), and how fast a stranger may knock (the edge).
package message

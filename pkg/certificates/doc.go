// Package certificates keeps WeChat Pay's platform certificates.
//
// Its job: fetch them for each merchant that uses them, at the start, every
// hour and on request; keep them for ever; share them with the edge. Its
// neighbours: wechatpay fetches and verifies them, store keeps them, bus shares
// them in the bucket that ingest watches.
//
// It guarantees that a worker verifies with certificates that came from
// WeChat Pay by its own or another worker's verified call, never from the
// bucket; that a retired certificate stays known, for bytes received in its
// time; and that a merchant's certificates are asked for at most once a minute
// by those who see unknown serials.
//
// It leaves to others: WeChat Pay public keys, which are configuration.
package certificates

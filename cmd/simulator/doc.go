// Command simulator is a stand-in WeChat Pay platform for one machine: "init"
// writes a complete test merchant, "serve" plays the platform for it.
//
// It is a doorway to pkg/simulator, which says what is guaranteed. With --json,
// stdout holds one JSON document and nothing else; logs go to stderr.
package main

// Package devstack runs the whole of fenflow on a bare machine: private
// PostgreSQL and Redis, an embedded NATS server, the stand-in WeChat Pay
// platform and the roles, each as a process of its own, so that any of
// them can be killed to see what happens.
//
// Its neighbours: testkit finds, installs and starts the servers; simulator
// is the platform; the roles are the same code that production runs, under
// the same deploy/nats.conf.
//
// It guarantees that nothing it starts outlives it, that all of it listens
// on loopback only, and that the demo's figures are counted by the stand-in
// platform and by a subscriber, never by fenflow itself.
//
// It leaves production to docker-compose.yml and your own orchestration.
package devstack

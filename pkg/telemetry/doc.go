// Package telemetry sets up logs and metrics.
//
// Its neighbours: boot makes a logger and a registry for each role and hands
// them on; everything above layer 0 may use the helpers here.
//
// It guarantees that nothing is global: a logger writes where it was told, a
// metric lives on the registry that was given; that metric names follow one
// pattern; that a log line has one shape for all roles.
//
// It leaves to others: what is worth a line or a metric.
package telemetry

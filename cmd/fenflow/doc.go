// Command fenflow is the operator's command line: `fenflow --help`.
package main

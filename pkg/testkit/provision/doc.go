// Package provision finds PostgreSQL, Redis, Chromium and a C compiler on a
// bare machine, and installs what is missing with apt or Homebrew.
//
// Its neighbours: servers starts what it finds; testkit and devstack call it;
// the program in provision/provision is its command line, for make.
//
// It guarantees that what it returns was run and has a version that we
// support, that each call says in a line what it found or did, that two of our
// processes never install at once, and that an installed package starts no
// service of its own where that can be told to it. It needs no C compiler itself.
//
// It leaves running servers alone, and starting our own to servers. What it
// was told by FENFLOW_PG_BIN (a folder), FENFLOW_REDIS_BIN or FENFLOW_CHROMIUM_BIN
// (programs) it uses or refuses, and never replaces by something else.
package provision

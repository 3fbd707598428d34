// Package synth makes up captures and RDAP answers: the sample that a fresh
// teiten starts with, and the input of tests and benchmarks. Addresses are
// documentation (RFC 5737, RFC 3849) and benchmark (RFC 2544) addresses; names
// lie under example domains (RFC 2606).
package synth

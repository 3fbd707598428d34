// Package capture turns packets into observations: it reads capture files
// (pcap and pcapng, plain or compressed), classifies every packet, recognises
// the marks of tools and malware, and tallies per window, source, protocol,
// service port and class.
//
// It reads streams of bytes and writes observation.Batch values to a sink; it knows
// nothing about the database or about what an observation means. A Reader
// spans any number of files with one tally. docs/capture.md describes how
// packets are counted, the limits, and what happens at a limit.
package capture

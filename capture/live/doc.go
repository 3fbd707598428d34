// Package live is for packets as they arrive at a network interface. It has
// the kernel's filter, which keeps packets to other addresses from reaching the
// program at all, and on Linux the ring that the kernel fills (TPACKET_V3). Open
// and Run tally the packets of several interfaces; other systems have an error.
// Packets that the filter stops are in no count: a Fact's Elsewhere is 0 unless
// there are too many networks for the filter.
package live

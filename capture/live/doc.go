// Package live is for packets as they arrive at a network interface. It has
// the kernel's filter, which keeps packets to other addresses from reaching the
// program at all, and on Linux the ring that the kernel fills (TPACKET_V3).
package live

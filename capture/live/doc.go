// Package live is for packets as they arrive at a network interface. It has
// the kernel's filter, which keeps packets to other addresses from reaching the
// program at all.
package live

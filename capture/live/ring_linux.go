package live

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	ringBlock   = 1 << 20
	ringTimeout = 100 // milliseconds until a block that is not full is given away
)

// Ring is the kernel's ring of packets of one interface.
type Ring struct {
	fd  int
	mem []byte
	at  int
}

// OpenRing makes a ring of so many blocks of 1 MiB at an interface. The filter
// is there before the interface is bound, so that no other packet gets in.
func OpenRing(ifindex, blocks int, filter []bpf.Instruction) (r *Ring, err error) {
	code, err := bpf.Assemble(filter)
	if err != nil || len(code) == 0 {
		return nil, fmt.Errorf("assemble filter of %d instructions: %w", len(code), err)
	}
	// Protocol 0 receives nothing until bind.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	r = &Ring{fd: fd}
	defer func() {
		if err != nil {
			_ = r.Close()
		}
	}()
	if err := r.attach(code); err != nil {
		return nil, err
	}
	// From Linux 4.20; before, walkBlock leaves outgoing packets out.
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return nil, fmt.Errorf("choose ring version: %w", err)
	}
	req := unix.TpacketReq3{Block_size: ringBlock, Block_nr: uint32(blocks), Frame_size: 2048,
		Frame_nr: uint32(blocks * ringBlock / 2048), Retire_blk_tov: ringTimeout}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("make ring: %w", err)
	}
	if r.mem, err = unix.Mmap(fd, 0, blocks*ringBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map ring: %w", err)
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		return nil, fmt.Errorf("bind to interface %d: %w", ifindex, err)
	}
	return r, nil
}

// Read hands the packets of the next block to take and gives the block back to
// the kernel. It returns after a second without one, with no error.
func (r *Ring) Read(ctx context.Context, take func(*Frame)) error {
	block := r.mem[r.at : r.at+ringBlock]
	status := (*uint32)(unsafe.Pointer(&block[8]))
	if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		fds := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 1000); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for packets: %w", err)
		}
		if fds[0].Revents&unix.POLLERR != 0 {
			return fmt.Errorf("wait for packets: %w", unix.ENETDOWN)
		}
		if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
			return nil
		}
	}
	_, err := r.next(take)
	return err
}

// Filter puts another filter in the place of the ring's.
func (r *Ring) Filter(filter []bpf.Instruction) error {
	code, err := bpf.Assemble(filter)
	if err != nil || len(code) == 0 {
		return fmt.Errorf("assemble filter of %d instructions: %w", len(code), err)
	}
	return r.attach(code)
}

func (r *Ring) attach(code []bpf.RawInstruction) error {
	prog := make([]unix.SockFilter, len(code))
	for i, c := range code {
		prog[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	return nil
}

// next hands the packets of a block that is ready to take; false if none is.
func (r *Ring) next(take func(*Frame)) (bool, error) {
	block := r.mem[r.at : r.at+ringBlock]
	status := (*uint32)(unsafe.Pointer(&block[8]))
	if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
		return false, nil
	}
	err := walkBlock(block, take)
	atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
	r.at = (r.at + ringBlock) % len(r.mem)
	return true, err
}

// waitRings waits until a ring has a block, at most so many milliseconds, and
// calls down for each whose interface went away.
func waitRings(rings []*Ring, milliseconds int, down func(*Ring)) error {
	fds := make([]unix.PollFd, len(rings))
	for i, r := range rings {
		fds[i] = unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN}
	}
	if _, err := unix.Poll(fds, milliseconds); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets: %w", err)
	}
	for i := range fds {
		if fds[i].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
			down(rings[i])
		}
	}
	return nil
}

// Dropped returns what the kernel dropped since the call before: reading sets
// its counters to zero.
func (r *Ring) Dropped() (uint64, error) {
	s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read drops: %w", err)
	}
	return uint64(s.Drops), nil
}

// Close gives the ring back.
func (r *Ring) Close() error {
	var err error
	if r.mem != nil {
		err = unix.Munmap(r.mem)
	}
	return errors.Join(err, unix.Close(r.fd))
}

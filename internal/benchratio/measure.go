package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// program is one command to be measured.
type program struct {
	name string
	args []string
	env  []string // in addition to ours
}

// cost is what one run took.
type cost struct {
	wall, cpu time.Duration
	rssBytes  int64
}

// once runs a program with its output thrown away.
func (p program) once() (cost, error) {
	cmd := exec.Command(p.name, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begin := time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(begin)}
	if err != nil {
		return c, fmt.Errorf("%s: %w: %s", p.name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.rssBytes = usage.Maxrss << 10 // Linux counts in KiB
	}
	return c, nil
}

// alternate runs programs in turn, rounds times each, after one run each that
// warms the page cache, and returns the medians.
func (b *bench) alternate(programs ...program) ([]cost, error) {
	costs := make([][]cost, len(programs))
	for round := range b.rounds + 1 {
		for i, p := range programs {
			c, err := p.once()
			if err != nil {
				return nil, err
			}
			if round > 0 {
				costs[i] = append(costs[i], c)
			}
		}
	}
	medians := make([]cost, len(programs))
	for i := range programs {
		medians[i] = cost{
			wall:     median(costs[i], func(c cost) time.Duration { return c.wall }),
			cpu:      median(costs[i], func(c cost) time.Duration { return c.cpu }),
			rssBytes: median(costs[i], func(c cost) int64 { return c.rssBytes }),
		}
	}
	return medians, nil
}

func median[T time.Duration | int64](costs []cost, of func(cost) T) T {
	values := make([]T, len(costs))
	for i, c := range costs {
		values[i] = of(c)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (c cost) String() string {
	return fmt.Sprintf("%.2f s wall, %.2f s CPU, %d MiB", c.wall.Seconds(), c.cpu.Seconds(), c.rssBytes>>20)
}

package capture_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"

	"teiten/capture"
	"teiten/internal/observation"
	"teiten/internal/synth"
)

// A capture becomes observations: one for each source, protocol, port and class
// in a window. Here a victim of a SYN flood with forged sources answers the
// addresses that the sensor watches.
func ExampleRead() {
	var file bytes.Buffer
	attack := synth.Attack{Victim: netip.MustParseAddr("203.0.113.130"), Port: 80, Packets: 100,
		Start: time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC), Interval: time.Second}
	if err := attack.Write(&file); err != nil {
		fmt.Println(err)
		return
	}
	result, err := capture.Read(context.Background(), &file, "attack.pcap", capture.Options{Sensor: "north"}, func(b *observation.Batch) error {
		for o := range b.Observations { // valid only until this function returns
			fmt.Printf("%s %s port %d %s: %d packets\n", o.Window.Format(time.DateTime), o.Source, o.Port, o.Class, o.Packets)
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Format, result.Packets)
	// Output:
	// 2026-01-15 09:00:00 203.0.113.130 port 80 synack: 300 packets
	// pcap 300
}

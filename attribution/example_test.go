package attribution_test

import (
	"fmt"
	"net/netip"
	"time"

	"teiten/attribution"
	"teiten/internal/observation"
)

// A profile collects the observations of one source; the first rule that
// answers gives the verdict.
func ExampleJudgeProfile() {
	source, start := netip.MustParseAddr("192.0.2.20"), time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)
	profile := attribution.NewProfile(source, attribution.DefaultLocation())
	profile.Add("north", &observation.Observation{Window: start, Source: source, Proto: 6, Port: 23, Class: observation.ClassSYN,
		Packets: 40, Bytes: 1600, Destinations: 40, DestinationsExact: true, Destination: netip.MustParseAddr("198.51.100.1"),
		First: start, Last: start.Add(50 * time.Minute),
		Marks: []observation.MarkCount{{Mark: observation.MarkMirai, Packets: 40}}}) // sequence number == destination, in every packet
	verdict := attribution.JudgeProfile(profile, nil)
	fmt.Println(verdict.Source, verdict.Kind, verdict.Malware, verdict.Rule)
	fmt.Printf("%d of %d packets\n", verdict.Evidence.V.Hits, verdict.Evidence.V.Of)
	// Output:
	// 192.0.2.20 infected mirai mirai
	// 40 of 40 packets
}

package notify

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"teiten/internal/casedb"
)

// Format is the form of the evidence that goes with a letter's text.
type Format string

// The formats. What X-ARF cannot express comes as CSV whatever is asked for.
const (
	FormatCSV  Format = "csv"
	FormatXARF Format = "xarf"
)

// xarfReport is an X-ARF 4.2.0 report. It names no destination: a masked
// destination_ip is refused, and ours would name a sensor.
type xarfReport struct {
	Version         string         `json:"xarf_version"`
	ReportID        string         `json:"report_id"`
	Timestamp       string         `json:"timestamp"`
	Reporter        xarfParty      `json:"reporter"`
	Sender          xarfParty      `json:"sender"`
	Source          string         `json:"source_identifier"`
	SourcePort      int            `json:"source_port,omitempty"`
	Category        string         `json:"category"`
	Type            string         `json:"type"`
	Protocol        string         `json:"protocol,omitempty"`
	FirstSeen       string         `json:"first_seen,omitempty"`
	LastSeen        string         `json:"last_seen,omitempty"`
	DestinationPort int            `json:"destination_port,omitempty"`
	Compromise      string         `json:"compromise_evidence,omitempty"`
	EvidenceSource  string         `json:"evidence_source"`
	Evidence        []xarfEvidence `json:"evidence"`
	Tags            []string       `json:"tags,omitempty"`
}

type xarfParty struct {
	Org     string `json:"org"`
	Contact string `json:"contact"`
	Domain  string `json:"domain"`
}

type xarfEvidence struct {
	ContentType string `json:"content_type"`
	Description string `json:"description"`
	Payload     string `json:"payload"`
	Hash        string `json:"hash"`
	Size        int    `json:"size"`
}

// xarf returns the report of a letter, or nil where X-ARF cannot express it: a
// report tells of one incident, so of one source and one malware; ICMP is
// refused for having no port; and a scan wants the source's port. The timestamp
// is when the incident began, not when it is reported: a desk looks up by it who
// had the address (xarf-core.json, timestamp).
func (c *Composer) xarf(m casedb.Message, kind casedb.Kind, rows []casedb.LetterRow, csv []byte, label casedb.TLP) ([]byte, error) {
	incident, ok := oneIncident(rows)
	if !ok || (kind != casedb.KindInfected && kind != casedb.KindScanner) {
		return nil, nil
	}
	us := xarfParty{Org: casedb.CleanLine(c.config.OrganisationEN, 200), Contact: c.config.Email, Domain: c.config.Domain}
	sum := sha256.Sum256(csv)
	first, last := incident.First.UTC().Format(time.RFC3339), incident.Last.UTC().Format(time.RFC3339)
	r := xarfReport{Version: "4.2.0", ReportID: reportID(m.Token), Timestamp: first, FirstSeen: first, LastSeen: last, Reporter: us, Sender: us,
		Source: incident.Source.String(), SourcePort: int(incident.SourcePort.Int32), EvidenceSource: "honeypot",
		Evidence: []xarfEvidence{{ContentType: "text/csv", Description: "What arrived at unused addresses, by hour and destination port; times are UTC",
			Payload: base64.StdEncoding.EncodeToString(csv), Hash: "sha256:" + hex.EncodeToString(sum[:]), Size: len(csv)}}}
	r.Tags = xarfTags("tlp", strings.TrimPrefix(string(label), "TLP:"))
	if incident.Malware != "" {
		// Not infected_host, which means web bots.
		r.Category, r.Type = "infrastructure", "botnet"
		r.Compromise = fmt.Sprintf("%d packets to %s of unused addresses between %s and %s, in the way of %s",
			incident.Packets, portName(incident.Proto, incident.Port), first, last, incident.Malware)
		r.Tags = append(xarfTags("malware", incident.Malware), r.Tags...)
	} else {
		if r.SourcePort == 0 {
			return nil, nil
		}
		r.Category, r.Type = "connection", "port_scan"
		r.Protocol, r.DestinationPort = protoName(incident.Proto), incident.Port
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write X-ARF: %w", err)
	}
	return append(b, '\n'), nil
}

// xarfTags writes a value as the tag of a namespace: small letters, digits and
// "_+-." only, the first no sign (xarf-core.json, tags). A value that has none of
// them gives no tag.
func xarfTags(namespace, value string) []string {
	value = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', strings.ContainsRune("_+-.", r):
			return r
		}
		return '-'
	}, strings.ToLower(value))
	if value = strings.Trim(value, "_+-."); value == "" {
		return nil
	}
	return []string{namespace + ":" + value}
}

// oneIncident sums up rows of evidence that are about one source, protocol and
// malware. The port is the one with the most packets. The source's port is known
// only if all packets had the same: behind a carrier's NAT (RFC 6888) the port of
// one sample, with the time of the others, would name another subscriber.
func oneIncident(rows []casedb.LetterRow) (casedb.LetterRow, bool) {
	if len(rows) == 0 || rows[0].Total > len(rows) {
		return casedb.LetterRow{}, false
	}
	sum := rows[0]
	sum.Packets = 0
	ports := map[int]int64{}
	for _, r := range rows {
		if r.Source != sum.Source || r.Malware != sum.Malware || r.Proto != sum.Proto {
			return sum, false
		}
		if r.Proto != 6 && r.Proto != 17 && r.Proto != 132 {
			return sum, false
		}
		sum.Packets += r.Packets
		ports[r.Port] += r.Packets
		if r.First.Before(sum.First) {
			sum.First = r.First
		}
		if r.Last.After(sum.Last) {
			sum.Last = r.Last
		}
		if !r.SourcePort.Valid || r.SourcePort != sum.SourcePort {
			sum.SourcePort = sql.NullInt32{}
		}
	}
	for port, packets := range ports {
		if most := ports[sum.Port]; packets > most || packets == most && port < sum.Port {
			sum.Port = port
		}
	}
	return sum, sum.Port > 0
}

// reportID makes a UUID (RFC 9562, version 4) that is the message's own and the
// same whenever it is composed.
func reportID(token string) string {
	b := sha256.Sum256([]byte("report|" + token))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// feedbackReport is the second part of the framing (RFC 5965; X-ARF 3).
const feedbackReport = "Feedback-Type: xarf\r\nUser-Agent: teiten\r\nVersion: 1\r\n"

// Package sensorwire has what a sensor and its hub say to each other over HTTP:
// names, numbers and JSON, and nothing of what either does with it.
package sensorwire

import (
	"net/netip"
	"time"
)

// Protocol is the version of this conversation. A hub understands the versions
// of the last two years; it is in each batch and each request.
const Protocol = 1

// ProtocolHeader has the Protocol of a request.
const ProtocolHeader = "Teiten-Protocol"

// The paths of the hub; {sensor} is the sensor's name.
const (
	PathEnrol     = "/api/v1/sensors/enrol"              // POST Enrolment, no token: Enrolled
	PathBatch     = "/api/v1/sensors/{sensor}/batches/"  // PUT + BatchID: a Parquet file
	PathHeartbeat = "/api/v1/sensors/{sensor}/heartbeat" // POST Heartbeat: Beaten
	PathConfig    = "/api/v1/sensors/{sensor}/config"    // GET: Signed
	PathToken     = "/api/v1/sensors/{sensor}/token"     // POST, the old token: NewToken
)

// BatchType is the media type of a batch.
const BatchType = "application/vnd.apache.parquet"

// DigestHeader has the SHA-256 of a batch's bytes as RFC 9530, 2, writes it:
// sha-256=:<base64>:
const DigestHeader = "Content-Digest"

// Enrolment asks for a sensor's identity against a one-time code.
type Enrolment struct {
	Code     string `json:"code"`
	Version  string `json:"version"`  // of the program
	Platform string `json:"platform"` // such as linux/arm64
}

// Enrolled is what a sensor gets once. PublicKey is the hub's Ed25519 key
// (RFC 8032), which signs every Config.
type Enrolled struct {
	Sensor    string `json:"sensor"`
	Token     string `json:"token"`
	PublicKey []byte `json:"public_key"`
	Config    Signed `json:"config"`
}

// NewToken takes the place of the token that asked for it, which stays good until
// the new one is used for the first time.
type NewToken struct {
	Token string `json:"token"`
}

// Config is how a sensor works. The hub's word goes before the sensor's flags.
type Config struct {
	Sensor   string         `json:"sensor"`
	Version  int64          `json:"version"` // grows with each change
	Networks []netip.Prefix `json:"networks,omitempty"`
	// Auto: the addresses of the interface are monitored, whatever they are.
	Auto          bool `json:"auto,omitempty"`
	WindowSeconds int  `json:"window_seconds"`
	// ReportZone is the IANA name of the zone at whose midnight windows are cut.
	ReportZone string `json:"report_zone"`
	KeyLimit   int    `json:"key_limit,omitempty"`
	// PayloadBytes is how much of a packet's payload is kept in samples, 0 to 64.
	PayloadBytes int `json:"payload_bytes"`
	// Management prefixes are those of the operator: packets from there to a
	// monitored address are never counted.
	Management []netip.Prefix `json:"management,omitempty"`
	// TunnelEnds are addresses at which tunnels end that deliver a telescope.
	TunnelEnds []netip.Addr `json:"tunnel_ends,omitempty"`
	// NextHub and NextCA (PEM) are where the hub will be: tried when the present one
	// cannot be reached or its certificate is not of a pinned authority.
	NextHub string `json:"next_hub,omitempty"`
	NextCA  string `json:"next_ca,omitempty"`
}

// Signed is a Config as JSON, and its Ed25519 signature by the hub.
type Signed struct {
	Config    []byte `json:"config"`
	Signature []byte `json:"signature"`
}

// Heartbeat is what a sensor says of itself each minute. Sums are since Started.
type Heartbeat struct {
	Sent       time.Time        `json:"sent"`
	Started    time.Time        `json:"started"`
	Version    string           `json:"version"`
	Platform   string           `json:"platform"`
	Packets    uint64           `json:"packets"`   // to monitored addresses
	Dropped    uint64           `json:"dropped"`   // by the kernel
	Copies     uint64           `json:"copies"`    // left out as copies
	Elsewhere  uint64           `json:"elsewhere"` // to other addresses, not looked at
	Answers    uint64           `json:"answers"`   // packets that left from a monitored address
	Spool      Spool            `json:"spool"`
	FreeBytes  int64            `json:"free_bytes"` // of the disk that has the spool
	Config     int64            `json:"config"`     // the version in force
	Networks   []netip.Prefix   `json:"networks"`   // monitored now
	Interfaces []InterfaceState `json:"interfaces,omitempty"`
}

// Spool is what waits on a sensor.
type Spool struct {
	Batches int   `json:"batches"`
	Bytes   int64 `json:"bytes"`
	// GivenUp batches were removed for want of room, Damaged ones put aside, and
	// Refused ones the hub did not take; since the folder was made.
	GivenUp uint64     `json:"given_up"`
	Damaged uint64     `json:"damaged"`
	Refused uint64     `json:"refused"`
	Oldest  *time.Time `json:"oldest,omitempty"` // start of the oldest window that waits
}

// InterfaceState is one interface that a sensor listens on.
type InterfaceState struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
}

// Beaten answers a Heartbeat.
type Beaten struct {
	Now    time.Time `json:"now"`    // the hub's clock
	Config int64     `json:"config"` // the version that should be in force
}

// BatchStored answers a batch: with 200 it is in the hub's database.
type BatchStored struct {
	ID    string `json:"id"`
	Known bool   `json:"known"` // it was there already
}

// Problem says why a request failed (RFC 9457).
type Problem struct {
	Type   string `json:"type"` // one of the Problem values below
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// The problems that a sensor must tell apart.
const (
	ProblemToken    = "tag:teiten,2026:token"    // 401: revoked or unknown
	ProblemSensor   = "tag:teiten,2026:sensor"   // 403: the token is another sensor's, or the sensor is retired
	ProblemContent  = "tag:teiten,2026:content"  // 409: the id is there with other content
	ProblemSize     = "tag:teiten,2026:size"     // 413
	ProblemBatch    = "tag:teiten,2026:batch"    // 422: damaged or against the rules; offering it again is of no use
	ProblemFuture   = "tag:teiten,2026:future"   // 422: the window is in the future: the clock of one of both is wrong; keep it
	ProblemRate     = "tag:teiten,2026:rate"     // 429 with Retry-After
	ProblemBusy     = "tag:teiten,2026:busy"     // 503 with Retry-After
	ProblemProtocol = "tag:teiten,2026:protocol" // 400: a version that this hub does not understand
	ProblemCode     = "tag:teiten,2026:code"     // 403: the enrolment code is unknown, used or too old
)

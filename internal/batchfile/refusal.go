package batchfile

import "fmt"

// Reason says in a word why a file is refused.
type Reason string

// The reasons.
const (
	Damaged  Reason = "damaged"   // cut, or with sizes that contradict each other
	TooLarge Reason = "too-large" // more than Limits allow
	Schema   Reason = "schema"    // other columns
	Metadata Reason = "metadata"  // no batch, or one that this version does not know
	Value    Reason = "value"     // a value that no observation has
	Order    Reason = "order"     // rows out of order, or one twice
	Sums     Reason = "sums"      // sums that are not those of the rows
)

// RefusedError says why a file is no batch. Offering it again is of no use.
type RefusedError struct {
	Reason Reason
	Detail string
}

// Error says why.
func (e *RefusedError) Error() string { return "batch file: " + string(e.Reason) + ": " + e.Detail }

func refuse(reason Reason, format string, args ...any) error {
	return &RefusedError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

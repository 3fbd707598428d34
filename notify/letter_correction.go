package notify

import (
	"context"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// maxCorrected is the number of addresses that a correction names.
const maxCorrected = 20

// correction is the data of a letter that takes an accusation back.
type correction struct {
	*letterData
	Corrected casedb.Corrected
	LeftOut   int    // addresses that are not named
	ByScanner string // the organisation whose acknowledged scanner it was; empty: it was none
	ByRules   bool   // better rules judged otherwise
}

// correction renders the words of a correction.
func (c *Composer) correction(ctx context.Context, q *casedb.Queries, m casedb.Message, letter *letterData) (subject, body, name string, err error) {
	data := correction{letterData: letter}
	if data.Corrected, err = q.Corrected(ctx, *m.CaseID, m.Recipient, maxCorrected); err != nil {
		return "", "", "", err
	}
	data.LeftOut = data.Corrected.All - len(data.Corrected.Sources)
	for _, r := range data.Corrected.Why {
		switch r.Code {
		case reason.Acknowledged:
			data.ByScanner = strings.Join(r.Args, ", ")
		case reason.Rejudged:
			data.ByRules = true
		}
	}
	return c.render(casedb.ReasonCorrection, m.Language, &data)
}

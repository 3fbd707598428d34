package attribution

import (
	"slices"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
)

// MayTell is the one rule of who may be told: whether a verdict is reason
// enough to write to the owner of its source. Nobody acknowledges the source,
// there is no contradiction that a coordinator must look at first, and more
// than one weak sign was seen. A victim of forged packets is told only of what
// meets the thresholds of an attack. Owners of reflectors and of addresses that
// others forged sent us nothing, and of the unknown there is nothing to say.
//
// The answer is stored with the verdict. Which kinds open cases at all is the
// operator's choice: see casework.CaseKinds.
func MayTell(v *casedb.Verdict) bool {
	if v.Acknowledged != "" || v.Attention != "" || v.Evidence.V.Weak {
		return false
	}
	switch v.Kind {
	case casedb.KindInfected, casedb.KindMisconfigured, casedb.KindScanner:
		return true
	case casedb.KindBackscatter:
		return slices.Contains(v.Evidence.V.Notes, NoteAttack)
	case casedb.KindReflection, casedb.KindSpoofed, casedb.KindUnknown:
	}
	return false
}

// judgement is a verdict as it is saved, with the answer of MayTell.
func judgement(v casedb.Verdict) casedb.Judgement {
	v.Tell = MayTell(&v)
	return casedb.Judgement{Verdict: v, Country: owner.Country(v.Source.Addr)}
}

package train

import (
	"cmp"
	"fmt"
)

// Numerics is raised with every change of the program after which some training has
// other bits on some instruction set (TestNumerics). A run goes on with another one than
// it was begun with only if it is told to, and its record says so.
const Numerics = 1

// Engine is what computed the steps of a run from Step on. With another instruction
// set or other numerics the same step has other last bits.
type Engine struct {
	Step     int    `json:"step"`
	Version  string `json:"version"`
	ISA      string `json:"isa"`
	Numerics int    `json:"numerics"` // 0: of before the number
}

func (e Engine) String() string {
	return fmt.Sprintf("%s, numerics %d (eaft %s)", e.ISA, e.Numerics, cmp.Or(e.Version, "of an unknown version"))
}

// goOn makes rec, of this engine, the record of a run that goes on from a checkpoint,
// and says what that costs, which must be asked for; "" where the checkpoint is of the
// same engine.
func (rec *Record) goOn(s *state) string {
	was := &s.Record
	rec.Engines = was.Engines
	if was.ISA == rec.ISA && was.Numerics == rec.Numerics {
		return ""
	}
	before := Engine{1, was.Version, was.ISA, was.Numerics}
	now := Engine{s.Step + 1, rec.Version, rec.ISA, rec.Numerics}
	if len(rec.Engines) == 0 {
		rec.Engines = []Engine{before}
	}
	rec.Engines = append(rec.Engines, now)
	remedy := "EAFT_CPU=" + was.ISA + ", where the processor has that,"
	switch {
	case was.ISA == rec.ISA:
		remedy = "eaft " + cmp.Or(was.Version, "of the version that made it")
	case was.Numerics != rec.Numerics:
		remedy = "the eaft that made it, with " + remedy
	}
	return fmt.Sprintf("the checkpoint was made with %v, and this is %v, whose steps differ in their last bits; %s goes on with the same bits", before, now, remedy)
}

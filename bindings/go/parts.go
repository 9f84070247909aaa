package tokenprune

import "github.com/tokenprune/tokenprune/bindings/go/internal/native"

// Scorer gives each visual token a number.
type Scorer struct {
	object
	candidates int
}

// Selector chooses which visual tokens stay.
type Selector struct {
	object
	text, budget          string
	sequences, candidates int
}

// Merger says where the content of dropped tokens goes.
type Merger struct {
	object
	candidates int
}

func newPart(o *object, what string, create func(out []int64) error, of ...*object) error {
	out := []int64{0}
	if err := with(func() error { return create(out) }, of...); err != nil {
		return err
	}
	o.open(what, out[0])
	return nil
}

// NewScorer takes it as in a policy file: "attention", "{kind: norm, norm: l2}".
func NewScorer(c *Context, l *Layout, m ModelShape, scorer string) (*Scorer, error) {
	s := &Scorer{candidates: l.candidates()}
	d := m.native()
	defer native.DeleteTkp_model_desc(d)
	return s, newPart(&s.object, "scorer", func(out []int64) error {
		return native.Flat_scorer_create(out, c.handle, scorer, l.handle, d)
	}, &c.object, &l.object)
}

// ScorerOf is the scorer of a stage.
func ScorerOf(p *Policy, stage int, c *Context, l *Layout, m ModelShape) (*Scorer, error) {
	s := &Scorer{candidates: l.candidates()}
	d := m.native()
	defer native.DeleteTkp_model_desc(d)
	return s, newPart(&s.object, "scorer", func(out []int64) error {
		return native.Flat_scorer_create_of(out, c.handle, p.handle, stage, l.handle, d)
	}, &p.object, &c.object, &l.object)
}

// Needs is what it must be given.
func (s *Scorer) Needs() (n Needs) {
	_ = with(func() error { n = Needs(native.Flat_needs(s.handle)); return nil }, &s.object)
	return n
}

// QueryRows are the rows of the packed batch whose queries it wants.
func (s *Scorer) QueryRows() ([]int32, error) {
	return counted(func(out []int64, room list) error {
		return native.Flat_scorer_query_rows(out, s.handle, room)
	}, native.FLAT_OUT_ROWS, &s.object)
}

// counted asks for a count, then for the list.
func counted(
	ask func(out []int64, room list) error, slot native.Enum_SS_flat_slot, of_ ...*object,
) ([]int32, error) {
	out := []int64{0}
	var found []int32
	err := with(func() error {
		if err := ask(out, nil); err != nil {
			return err
		}
		found = make([]int32, out[0])
		if len(found) == 0 {
			return nil
		}
		return ask(out, list(nil).with(slot, of(found, len(found))))
	}, of_...)
	alive(found)
	return found, err
}

// Run gives a score for each candidate, on the host.
func (s *Scorer) Run(e *Exec, in *Inputs) ([]float32, error) {
	scores := make([]float32, s.candidates)
	return scores, s.RunInto(e, in, of(scores, len(scores)))
}

// RunInto writes to scores [N] f32, which lies where the context works.
func (s *Scorer) RunInto(e *Exec, in *Inputs, scores *Tensor) error {
	err := e.alone(func() error {
		return native.Flat_scorer_run(s.handle, e.handle, in.list().with(native.FLAT_OUT_SCORES, scores))
	}, &s.object)
	alive(in, scores)
	return err
}

// NewSelector takes selector and budget as in a policy file: "topk", "{ratio: 1/4}". A model is
// wanted by kinds that look at more than scores.
func NewSelector(c *Context, l *Layout, selector, budget string, m *ModelShape) (*Selector, error) {
	s := &Selector{text: selector, budget: budget, sequences: l.Sequences(), candidates: l.candidates()}
	var d native.Tkp_model_desc = native.SwigcptrTkp_model_desc(0)
	if m != nil {
		d = m.native()
		defer native.DeleteTkp_model_desc(d)
	}
	return s, newPart(&s.object, "selector", func(out []int64) error {
		return native.Flat_selector_create(out, c.handle, selector, budget, l.handle, d)
	}, &c.object, &l.object)
}

// SelectorOf is the selector of a stage, with its budget.
func SelectorOf(p *Policy, stage int, c *Context, l *Layout, m ModelShape) (*Selector, error) {
	s := &Selector{sequences: l.Sequences(), candidates: l.candidates()}
	d := m.native()
	defer native.DeleteTkp_model_desc(d)
	return s, newPart(&s.object, "selector", func(out []int64) error {
		return native.Flat_selector_create_of(out, c.handle, p.handle, stage, l.handle, d)
	}, &p.object, &c.object, &l.object)
}

// Needs is what it must be given beside scores.
func (s *Selector) Needs() (n Needs) {
	_ = with(func() error { n = Needs(native.Flat_needs(s.handle)); return nil }, &s.object)
	return n
}

// Count of tokens kept of a sequence, or the most there may be; -1 outside.
func (s *Selector) Count(sequence int) int {
	n := int64(-1)
	_ = with(func() error { n = native.Flat_selector_count(s.handle, sequence); return nil }, &s.object)
	return int(n)
}

// Run gives the numbers of the candidates that stay, ascending in each sequence, and where each
// sequence's begin. Scores, where the kind takes them, are in.Scores.
func (s *Selector) Run(e *Exec, in *Inputs) (kept, offsets []int32, err error) {
	most := 0
	for b := 0; b < s.sequences; b++ {
		if n := s.Count(b); n > 0 {
			most += n
		}
	}
	kept, offsets = make([]int32, most), make([]int32, s.sequences+1)
	err = e.alone(func() error {
		return native.Flat_selector_run(s.handle, e.handle, in.list().
			with(native.FLAT_OUT_INDICES, of(kept, most)).
			with(native.FLAT_OUT_OFFSETS, of(offsets, len(offsets))))
	}, &s.object)
	alive(in, kept, offsets)
	if err != nil {
		return nil, nil, err
	}
	return kept[:offsets[s.sequences]], offsets, nil
}

// NewMerger takes it as in a policy file: "nearest". The selector is one of NewSelector.
func NewMerger(c *Context, s *Selector, m ModelShape, merger string) (*Merger, error) {
	g := &Merger{candidates: s.candidates}
	d := m.native()
	defer native.DeleteTkp_model_desc(d)
	return g, newPart(&g.object, "merger", func(out []int64) error {
		return native.Flat_merger_create(out, c.handle, merger, s.handle, s.text, s.budget, d)
	}, &c.object, &s.object)
}

// MergerOf is the merger of a stage.
func MergerOf(p *Policy, stage int, c *Context, s *Selector, m ModelShape) (*Merger, error) {
	g := &Merger{candidates: s.candidates}
	d := m.native()
	defer native.DeleteTkp_model_desc(d)
	return g, newPart(&g.object, "merger", func(out []int64) error {
		return native.Flat_merger_create_of(out, c.handle, p.handle, stage, s.handle, d)
	}, &p.object, &c.object, &s.object)
}

// Run writes the new rows of the kept tokens to rows [K, D]; the tokens that each stands for, and
// for each candidate the entry of kept that it went to, -1 = none.
func (g *Merger) Run(e *Exec, in *Inputs, kept []int32, rows *Tensor) (sizes []float32, went []int32, err error) {
	for _, k := range kept { // C trusts them
		if k < 0 || int(k) >= g.candidates {
			return nil, nil, fail(CodeArgument, "kept: has candidate %d, wanted 0 to %d", k, g.candidates-1)
		}
	}
	sizes, went = make([]float32, len(kept)), make([]int32, g.candidates)
	err = e.alone(func() error {
		return native.Flat_merger_run(g.handle, e.handle, in.list().
			with(native.FLAT_KEPT, of(kept, len(kept))).
			with(native.FLAT_OUT_ROWS, rows).
			with(native.FLAT_OUT_SIZES, of(sizes, len(sizes))).
			with(native.FLAT_OUT_ASSIGNMENT, of(went, len(went))))
	}, &g.object)
	alive(in, kept, rows, sizes, went)
	return sizes, went, err
}

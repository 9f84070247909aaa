package tokenprune

import "github.com/tokenprune/tokenprune/bindings/go/internal/native"

// Sequence runs a policy against one batch: the one object an engine has to learn. The engine
// pulls. One goroutine at a time.
type Sequence struct {
	object
	exec *Exec
}

// NewSequence works with an exec, which outlives it.
func NewSequence(c *Context, e *Exec) (*Sequence, error) {
	s := &Sequence{exec: e}
	return s, newPart(&s.object, "sequence", func(out []int64) error {
		return native.Flat_sequence_create(out, c.handle)
	}, &c.object)
}

// both runs a call with sequence and exec, of which nobody else uses either.
func (s *Sequence) both(call func() error, others ...*object) error {
	if err := s.enterAlone(); err != nil {
		return err
	}
	defer s.leaveAlone()
	return s.exec.alone(call, others...)
}

// Begin a batch; what was running is forgotten. Budgets are resolved here, so one that does not
// fit fails before anything is computed.
func (s *Sequence) Begin(p *Policy, l *Layout, m ModelShape) error {
	d := m.native()
	defer native.DeleteTkp_model_desc(d)
	return s.both(func() error {
		return native.Flat_sequence_begin(s.handle, s.exec.handle, p.handle, l.handle, d)
	}, &p.object, &l.object)
}

// Next is the next place that really cuts; nil behind the last.
func (s *Sequence) Next() (*Point, error) {
	raw := native.NewTkp_point()
	defer native.DeleteTkp_point(raw)
	if err := s.alone(func() error { return native.Flat_sequence_next(s.handle, raw) }); err != nil {
		return nil, err
	}
	if raw.GetKind() == 0 {
		return nil, nil
	}
	p := pointOf(raw)
	return &p, nil
}

// QueryRows are the rows of the packed batch whose queries the point wants.
func (s *Sequence) QueryRows() ([]int32, error) {
	return counted(func(out []int64, room list) error {
		return native.Flat_sequence_query_rows(out, s.handle, room)
	}, native.FLAT_OUT_ROWS, &s.object)
}

// Prune decides at the point that Next gave. The decision is good until the next Prune or Begin.
func (s *Sequence) Prune(in *Inputs) (*Decision, error) {
	out := []int64{0}
	err := s.both(func() error {
		return native.Flat_sequence_prune(out, s.handle, s.exec.handle, in.list())
	})
	alive(in)
	if err != nil {
		return nil, err
	}
	return &Decision{s, out[0]}, nil
}

// Rows of the layout that are still there: after cuts inside the encoder these are what goes on
// to the decoder.
func (s *Sequence) Rows() ([]int32, error) {
	return counted(func(out []int64, room list) error {
		return native.Flat_sequence_rows(out, s.handle, room)
	}, native.FLAT_OUT_ROWS, &s.object)
}

// KeptCells of an image that are still there, ascending.
func (s *Sequence) KeptCells(image int) ([]int32, error) {
	if err := s.exec.enterAlone(); err != nil {
		return nil, err
	}
	defer s.exec.leaveAlone()
	return counted(func(out []int64, room list) error {
		return native.Flat_sequence_kept_cells(out, s.handle, s.exec.handle, image, room)
	}, native.FLAT_OUT_ROWS, &s.object)
}

// NextPosition is the rotary position of the first generated token of a sequence in a layer; -1
// outside.
func (s *Sequence) NextPosition(sequence, layer int) int {
	at := -1
	_ = with(func() error {
		at = native.Flat_sequence_next_position(s.handle, sequence, layer)
		return nil
	}, &s.object)
	return at
}

// Report is what a batch cost.
type Report struct {
	Stages                      int     // cuts that really ran
	LayerTokens, LayerVisual    []int64 // that each layer of the decoder processed
	VisualBefore, VisualAfter   int64
	EquivIn, EquivOut           float64
	MACs, MACsUnpruned          float64
	KVBytes, KVBytesUnpruned    int64
	ScoreSeconds, SelectSeconds float64
	MergeSeconds, GatherSeconds float64
}

// Report may be asked at any time; layers after the last cut count as it left them.
func (s *Sequence) Report() (*Report, error) {
	raw := native.NewTkp_report()
	defer native.DeleteTkp_report(raw)
	var tokens, visual []int64
	err := s.alone(func() error {
		if err := native.Flat_sequence_report(s.handle, raw, nil); err != nil {
			return err
		}
		tokens, visual = make([]int64, raw.GetLayers()), make([]int64, raw.GetLayers())
		return native.Flat_sequence_report(s.handle, raw, list(nil).
			with(native.FLAT_OUT_LAYER_TOKENS, of(tokens, len(tokens))).
			with(native.FLAT_OUT_LAYER_VISUAL, of(visual, len(visual))))
	})
	alive(tokens, visual)
	if err != nil {
		return nil, err
	}
	return &Report{
		Stages: raw.GetStages(), LayerTokens: tokens, LayerVisual: visual,
		VisualBefore: raw.GetVisual_before(), VisualAfter: raw.GetVisual_after(),
		EquivIn: raw.GetEquiv_in(), EquivOut: raw.GetEquiv_out(),
		MACs: raw.GetMacs(), MACsUnpruned: raw.GetMacs_unpruned(),
		KVBytes: raw.GetKv_bytes(), KVBytesUnpruned: raw.GetKv_bytes_unpruned(),
		ScoreSeconds: raw.GetScore_seconds(), SelectSeconds: raw.GetSelect_seconds(),
		MergeSeconds: raw.GetMerge_seconds(), GatherSeconds: raw.GetGather_seconds(),
	}, nil
}

// Decision is what was decided; its lists are copies.
type Decision struct {
	sequence *Sequence
	number   int64
}

// field gives a list of the decision; nil where it has none.
func field[T Element](d *Decision, which native.Enum_SS_flat_decision_field) ([]T, error) {
	dtype, ndim, n0, n1 := []int64{0}, []int64{0}, []int64{0}, []int64{0}
	var found []T
	s := d.sequence
	err := s.both(func() error {
		err := native.Flat_decision_shape(dtype, ndim, n0, n1, s.handle, d.number, int(which))
		if err != nil || dtype[0] == 0 {
			return err
		}
		shape := []int{int(n0[0]), int(n1[0])}[:ndim[0]]
		n := 1
		for _, size := range shape {
			n *= size
		}
		found = make([]T, n)
		if Dtype(dtype[0]) != dtypeOf[T]() {
			return fail(CodeDtype, "decision: has dtype %d, wanted %d", dtype[0], dtypeOf[T]())
		}
		return native.Flat_decision_copy(s.handle, s.exec.handle, d.number, int(which),
			list(nil).with(native.FLAT_OUT_DATA, of(found, shape...)))
	})
	alive(found)
	return found, err
}

// Indices are the old row of each new one.
func (d *Decision) Indices() ([]int32, error) { return field[int32](d, native.FLAT_DECISION_INDICES) }

// Offsets are where each sequence's new rows begin.
func (d *Decision) Offsets() ([]int32, error) { return field[int32](d, native.FLAT_DECISION_OFFSETS) }

// Positions are the rotary positions of the new rows: one list, or three for M-RoPE, one behind
// the other.
func (d *Decision) Positions() ([]int32, error) {
	return field[int32](d, native.FLAT_DECISION_POSITIONS)
}

// Sizes are the tokens that each new row stands for.
func (d *Decision) Sizes() ([]float32, error) { return field[float32](d, native.FLAT_DECISION_SIZES) }

// Assignment is the new row that each old one went to; -1 = dropped.
func (d *Decision) Assignment() ([]int32, error) {
	return field[int32](d, native.FLAT_DECISION_ASSIGNMENT)
}

// Scores of the candidates; nil without a scorer.
func (d *Decision) Scores() ([]float32, error) { return field[float32](d, native.FLAT_DECISION_SCORES) }

// KeyBias is what attention has to add to the logits of each row's key; nil = nothing.
func (d *Decision) KeyBias() ([]float32, error) {
	return field[float32](d, native.FLAT_DECISION_KEY_BIAS)
}

// Merged rows [m, D] of an f32 model that replace gathered ones; nil = none.
func (d *Decision) Merged() ([]float32, error) { return field[float32](d, native.FLAT_DECISION_MERGED) }

// MergedAt are the new rows that those replace.
func (d *Decision) MergedAt() ([]int32, error) {
	return field[int32](d, native.FLAT_DECISION_MERGED_AT)
}

func (d *Decision) gather(dst, src *Tensor, kv int) error {
	s := d.sequence
	err := s.both(func() error {
		return native.Flat_decision_gather(s.handle, s.exec.handle, d.number, kv,
			list(nil).with(native.FLAT_SOURCE, src).with(native.FLAT_OUT_ROWS, dst))
	})
	alive(dst, src)
	return err
}

// Gather sets dst [rows out, ...] to the rows of src [rows in, ...] that stay; merged ones take
// their places.
func (d *Decision) Gather(dst, src *Tensor) error { return d.gather(dst, src, 0) }

// GatherKV is the same without merged rows, for keys and values of earlier layers.
func (d *Decision) GatherKV(dst, src *Tensor) error { return d.gather(dst, src, 1) }

package tokenprune

import "github.com/tokenprune/tokenprune/bindings/go/internal/native"

// Layout is what a batch looks like before pruning. It may be filled until something uses it;
// then changes are CodeState.
type Layout struct{ object }

// NewLayout is an empty batch.
func NewLayout() (*Layout, error) {
	out := []int64{0}
	if err := native.Flat_layout_create(out); err != nil {
		return nil, failure(err)
	}
	l := &Layout{}
	l.open("layout", out[0])
	return l, nil
}

// SequenceShape is one prompt of a batch.
type SequenceShape struct {
	Length             int    // tokens, text and visual
	TextBegin, TextEnd int    // text that guides the pruning; both 0 = behind the last image
	ID                 uint32 // names it to the random generator
}

// Image is a grid of visual tokens in a sequence.
type Image struct {
	Sequence           int
	Start              int // row of the sequence
	Frames, Rows, Cols int // Frames 0 = 1
	RowStride          int // tokens from one row of the grid to the next; 0 = Cols
	TileHeight         int // the grid is tiles side by side; both 0 = it is one
	TileWidth          int
	TileTop, TileLeft  int     // rows and columns that the first tiles lack
	Valid, Keep        []uint8 // a byte a cell: 0 = padding; 1 = always kept. nil = all; none
}

// AddSequence gives its number in the batch.
func (l *Layout) AddSequence(s SequenceShape) (int, error) {
	out := []int64{0}
	err := l.alone(func() error {
		return native.Flat_layout_add_sequence(out, l.handle, int64(s.ID), int64(s.Length),
			int64(s.TextBegin), int64(s.TextEnd))
	})
	return int(out[0]), err
}

// AddImage gives its number in the batch.
func (l *Layout) AddImage(i Image) (int, error) {
	var masks list
	for _, m := range []struct {
		cells []uint8
		slot  native.Enum_SS_flat_slot
	}{{i.Valid, native.FLAT_VALID}, {i.Keep, native.FLAT_KEEP}} {
		if m.cells != nil {
			masks = masks.with(m.slot, of(m.cells, len(m.cells)))
		}
	}
	out := []int64{0}
	err := l.alone(func() error {
		return native.Flat_layout_add_image(out, l.handle, i.Sequence, int64(i.Start), i.Frames, i.Rows,
			i.Cols, i.RowStride, i.TileHeight, i.TileWidth, i.TileTop, i.TileLeft, masks)
	})
	alive(i.Valid, i.Keep)
	return int(out[0]), err
}

// SetPositions takes rotary positions of all rows, [1, Rows()] or, for M-RoPE, [3, Rows()].
func (l *Layout) SetPositions(positions *Tensor) error {
	err := l.alone(func() error {
		return native.Flat_layout_set_positions(l.handle, list(nil).with(native.FLAT_POSITIONS, positions))
	})
	alive(positions)
	return err
}

func (l *Layout) ask(call func() int) int {
	n := -1
	_ = with(func() error { n = call(); return nil }, &l.object)
	return n
}

// Sequences in the batch; -1 of a closed layout, as below.
func (l *Layout) Sequences() int {
	return l.ask(func() int { return native.Flat_layout_sequences(l.handle) })
}

// Images of all sequences.
func (l *Layout) Images() int {
	return l.ask(func() int { return native.Flat_layout_images(l.handle) })
}

// Rows of the packed batch.
func (l *Layout) Rows() int {
	return l.ask(func() int { return int(native.Flat_layout_rows(l.handle)) })
}

// VisualTokens of a sequence; -1 outside.
func (l *Layout) VisualTokens(sequence int) int {
	return l.ask(func() int { return int(native.Flat_layout_visual_tokens(l.handle, sequence)) })
}

func (l *Layout) candidates() int {
	n := 0
	for b := l.Sequences() - 1; b >= 0; b-- {
		n += l.VisualTokens(b)
	}
	return n
}

// ModelShape has the shapes of the language model: for planning, for the report of costs, and to
// check inputs against. What a method does not need may stay 0.
type ModelShape struct {
	Dtype                                 Dtype // of hidden rows, q and k; 0 = f32
	Layers, Heads, KVHeads, HeadDim       int
	Hidden, Intermediate                  int
	MLPMatrices                           int   // 3 gated, 2 plain; 0 = 3
	KVDtype                               Dtype // of the KV cache; 0 = Dtype
	KVPage, KVPages                       int   // keys of a page and pages, where k comes in pages
	VisionHidden, VisionKeyDim, ClipDim   int
	TextRows, ClipTextRows, ClipTokenRows int
	NormEps                               float32
	RopeTheta                             float64
	VisionValueDim                        int
}

func (m ModelShape) native() native.Tkp_model_desc {
	d := native.NewTkp_model_desc()
	if m.Dtype == 0 {
		m.Dtype = F32Type
	}
	d.SetDtype(int(m.Dtype))
	d.SetLayers(m.Layers)
	d.SetHeads(m.Heads)
	d.SetKv_heads(m.KVHeads)
	d.SetHead_dim(m.HeadDim)
	d.SetHidden(int64(m.Hidden))
	d.SetIntermediate(int64(m.Intermediate))
	d.SetMlp_matrices(m.MLPMatrices)
	d.SetKv_dtype(int(m.KVDtype))
	d.SetKv_page(m.KVPage)
	d.SetKv_pages(int64(m.KVPages))
	d.SetVision_hidden(int64(m.VisionHidden))
	d.SetVision_key_dim(int64(m.VisionKeyDim))
	d.SetClip_dim(int64(m.ClipDim))
	d.SetText_rows(m.TextRows)
	d.SetClip_text_rows(m.ClipTextRows)
	d.SetClip_token_rows(m.ClipTokenRows)
	d.SetNorm_eps(m.NormEps)
	d.SetRope_theta(m.RopeTheta)
	d.SetVision_value_dim(int64(m.VisionValueDim))
	return d
}

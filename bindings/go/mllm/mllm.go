// Package mllm is the reference model: from a Hugging Face directory, pictures and a question to
// an answer.
package mllm

import (
	"errors"

	tokenprune "github.com/tokenprune/tokenprune/bindings/go"
	"github.com/tokenprune/tokenprune/bindings/go/internal/nativemllm"
)

// Model is loaded once; any number of goroutines may ask it.
type Model struct{ tokenprune.Foreign }

// Options of loading.
type Options struct {
	Dtype     tokenprune.Dtype // of activations: f32 or bf16; 0 = as the weights are
	Pack      int              // of linear weights; 0 = where it pays
	Tiling    int              // of models that see tiles; 0 = as transformers
	MaxPixels int64            // larger images are refused; 0 = 178956970
}

// Info says what was loaded.
type Info struct {
	Kind                            string // "llava", "llava_next", "qwen2_vl"
	Layers, Heads, KVHeads, HeadDim int
	Hidden, Vocab, Parameters       int64
	GridRows, GridCols              int // of a square; 0 where pictures have grids of their own
}

// Request is one prompt.
type Request struct {
	Prompt, System string
	Images         []string // files, in order of appearance
	Raw            bool     // the prompt is the whole text, without chat template
	ID             uint32   // names it to the random generator
}

// GenerateOptions say how to answer.
type GenerateOptions struct {
	MaxNewTokens int                // 0 = 64; -1 = prefill only
	Policy       *tokenprune.Policy // nil = nothing is pruned
	Sample       bool               // draw tokens
	Temperature  float64            // 0 = 1
	Seed         uint64
	IgnoreEOS    bool
	Scores       []float32 // one for each visual token, for policies with external scores
}

// Answer to a request.
type Answer struct {
	Text   string
	Tokens []int32
	Kept   [][]int32 // cells of each image
}

// Report is what the prefill of the batch cost, and seconds.
type Report struct {
	LayerTokens               []int64
	VisualBefore, VisualAfter int64
	EquivIn                   float64
	MACs, MACsUnpruned        float64
	KVBytes, KVBytesUnpruned  int64
	Vision, Prefill, Pruning  float64 // seconds
	Decode                    float64
}

func failure(err error) error {
	var f *nativemllm.Failure
	if errors.As(err, &f) {
		return &tokenprune.Error{Code: tokenprune.Code(f.Code), Message: f.Message}
	}
	return err
}

// Load maps the weights of a directory.
func Load(c *tokenprune.Context, directory string, o Options) (*Model, error) {
	out := []int64{0}
	err := c.Use(func(handle int64) error {
		return failure(nativemllm.Flat_mllm_load(out, handle, directory, int(o.Dtype), o.Pack, o.Tiling, o.MaxPixels))
	})
	if err != nil {
		return nil, err
	}
	m := &Model{}
	m.Open("model", out[0])
	return m, nil
}

// Info gives its shapes.
func (m *Model) Info() (Info, error) {
	raw := nativemllm.NewTkp_mllm_info()
	defer nativemllm.DeleteTkp_mllm_info(raw)
	err := m.Use(func(handle int64) error { return failure(nativemllm.Flat_mllm_get_info(handle, raw)) })
	return Info{
		Kind: raw.GetKind(), Layers: raw.GetLayers(), Heads: raw.GetHeads(), KVHeads: raw.GetKv_heads(),
		HeadDim: raw.GetHead_dim(), Hidden: raw.GetHidden(), Vocab: raw.GetVocab(),
		Parameters: raw.GetParameters(), GridRows: raw.GetGrid_rows(), GridCols: raw.GetGrid_cols(),
	}, err
}

// owned is something of C's that goes at the end of a call.
func owned(create func(out []int64) error) (handle int64, free func(), err error) {
	out := []int64{0}
	if err := failure(create(out)); err != nil {
		return 0, func() {}, err
	}
	return out[0], func() { _ = nativemllm.Flat_destroy(out[0]) }, nil
}

func requestsOf(requests []Request) (int64, func(), error) {
	handle, free, err := owned(nativemllm.Flat_requests_create)
	for _, r := range requests {
		format := 0
		if r.Raw {
			format = 1
		}
		if err == nil {
			err = failure(nativemllm.Flat_requests_add(handle, r.Prompt, r.System, format, int64(r.ID)))
		}
		for _, image := range r.Images {
			if err == nil {
				err = failure(nativemllm.Flat_requests_add_image(handle, image))
			}
		}
	}
	return handle, free, err
}

// Generate answers a batch of prompts.
func (m *Model) Generate(requests []Request, o GenerateOptions) ([]Answer, *Report, error) {
	batch, free, err := requestsOf(requests)
	defer free()
	if err != nil {
		return nil, nil, err
	}
	raw := nativemllm.NewTkp_mllm_generate_options()
	defer nativemllm.DeleteTkp_mllm_generate_options(raw)
	raw.SetMax_new_tokens(o.MaxNewTokens)
	raw.SetTemperature(o.Temperature)
	raw.SetSeed(o.Seed)
	if o.Sample {
		raw.SetDo_sample(1)
	}
	if o.IgnoreEOS {
		raw.SetIgnore_eos(1)
	}
	var scores []int64
	if o.Scores != nil {
		t, err := tokenprune.NewTensor(o.Scores, len(o.Scores))
		if err != nil {
			return nil, nil, err
		}
		scores = t.Record(int(nativemllm.FLAT_SCORES))
		defer tokenprune.Alive(t)
	}
	var answers []Answer
	var report *Report
	run := func(policy int64) error {
		return m.Use(func(handle int64) error {
			result, free, err := owned(func(out []int64) error {
				return nativemllm.Flat_mllm_generate(out, handle, batch, policy, raw, 0, scores)
			})
			defer free()
			if err == nil {
				answers, report, err = read(result, len(requests))
			}
			return err
		})
	}
	if o.Policy == nil {
		err = run(0)
	} else {
		err = o.Policy.Use(run)
	}
	return answers, report, err
}

func read(result int64, count int) ([]Answer, *Report, error) {
	answers := make([]Answer, count)
	for i := range answers {
		a := &answers[i]
		a.Text = nativemllm.Flat_result_text(result, i)
		var err error
		a.Tokens, err = list(func(out, room []int64) error {
			return nativemllm.Flat_result_tokens(out, result, i, room)
		})
		for k := 0; err == nil && k < nativemllm.Flat_result_images(result, i); k++ {
			var cells []int32
			cells, err = list(func(out, room []int64) error {
				return nativemllm.Flat_result_kept_cells(out, result, i, k, room)
			})
			a.Kept = append(a.Kept, cells)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	report, err := reportOf(result)
	return answers, report, err
}

// list asks for a count, then for the numbers.
func list(ask func(out, room []int64) error) ([]int32, error) {
	out := []int64{0}
	if err := failure(ask(out, nil)); err != nil || out[0] == 0 {
		return nil, err
	}
	found := make([]int32, out[0])
	t, err := tokenprune.NewTensor(found, len(found))
	if err != nil {
		return nil, err
	}
	err = failure(ask(out, t.Record(int(nativemllm.FLAT_OUT_DATA))))
	tokenprune.Alive(t)
	return found, err
}

func reportOf(result int64) (*Report, error) {
	raw, times := nativemllm.NewTkp_report(), nativemllm.NewTkp_mllm_times()
	defer nativemllm.DeleteTkp_report(raw)
	defer nativemllm.DeleteTkp_mllm_times(times)
	if err := failure(nativemllm.Flat_result_report(result, raw, nil)); err != nil {
		return nil, err
	}
	tokens := make([]int64, raw.GetLayers())
	t, err := tokenprune.NewTensor(tokens, len(tokens))
	if err == nil {
		err = failure(nativemllm.Flat_result_report(result, raw, t.Record(int(nativemllm.FLAT_OUT_LAYER_TOKENS))))
		tokenprune.Alive(t)
	}
	if err == nil {
		err = failure(nativemllm.Flat_result_times(result, times))
	}
	return &Report{
		LayerTokens: tokens, VisualBefore: raw.GetVisual_before(), VisualAfter: raw.GetVisual_after(),
		EquivIn: raw.GetEquiv_in(), MACs: raw.GetMacs(), MACsUnpruned: raw.GetMacs_unpruned(),
		KVBytes: raw.GetKv_bytes(), KVBytesUnpruned: raw.GetKv_bytes_unpruned(),
		Vision: times.GetVision(), Prefill: times.GetPrefill(), Pruning: times.GetPruning(),
		Decode: times.GetDecode(),
	}, err
}

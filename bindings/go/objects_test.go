package tokenprune

import (
	"errors"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

const fastv = "tokenprune: 1\nname: mine\nstages:\n" +
	"- {at: \"llm:2\", scorer: {kind: attention, query: last}, selector: topk, merger: nearest, budget: {ratio: 1/4}}\n"

var smallModel = ModelShape{Layers: 8, Heads: 4, KVHeads: 2, HeadDim: 6, Hidden: 12, Intermediate: 32}

// smallBatch has 47 rows: one, 6 x 6 visual tokens, ten of text.
func smallBatch() *Layout {
	l := must(NewLayout())
	must(l.AddSequence(SequenceShape{Length: 47, TextBegin: 38, TextEnd: 47}))
	must(l.AddImage(Image{Start: 1, Rows: 6, Cols: 6}))
	return l
}

// numbers are made up, always the same.
func numbers(n, seed int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32((i*2654435761+seed*40503)%65536)/65536 - 0.5
	}
	return x
}

func onRef() (*Context, *Exec) {
	c := must(NewContext(ContextOptions{Backends: "ref"}))
	return c, must(NewExec(c))
}

func fails(t *testing.T, err error, code Code, part string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, part) {
		t.Errorf("met %v, wanted %v with %q", err, code, part)
	}
}

func equal(t *testing.T, met, want any) {
	t.Helper()
	if !reflect.DeepEqual(met, want) {
		t.Errorf("met %v, wanted %v", met, want)
	}
}

func TestContextSaysWhatItHas(t *testing.T) {
	c, _ := onRef()
	equal(t, c.Backends(), []string{"ref"})
	equal(t, len(strings.Split(Version(), ".")), 3)
	_, err := NewContext(ContextOptions{Backends: "nothing"})
	fails(t, err, CodeNoBackend, "nothing")
	_, err = NewContext(ContextOptions{Threads: -1})
	fails(t, err, CodeOption, "threads")
	equal(t, errors.Is(err, &Error{Code: CodeOption}), true)
	equal(t, errors.Is(err, &Error{Code: CodeShape}), false)
	equal(t, CodeShape.String(), "TKP_ERR_SHAPE")
}

func TestLayoutCountsAndFreezes(t *testing.T) {
	l := smallBatch()
	equal(t, must(l.AddSequence(SequenceShape{Length: 5, ID: 9})), 1)
	equal(t, must(l.AddImage(Image{Sequence: 1, Start: 1, Rows: 1, Cols: 2, Valid: []uint8{1, 0}})), 1)
	equal(t, []int{l.Sequences(), l.Images(), l.Rows()}, []int{2, 2, 52})
	equal(t, []int{l.VisualTokens(0), l.VisualTokens(1), l.VisualTokens(2)}, []int{36, 1, -1})
	positions := make([]int32, 52)
	must(0, l.SetPositions(must(NewTensor(positions, 1, 52))))
	_, err := l.AddImage(Image{Sequence: 1, Start: 3, Rows: 1, Cols: 2, Valid: []uint8{1, 1, 1}})
	fails(t, err, CodeShape, "valid")
	_, err = l.AddImage(Image{Sequence: 1, Start: 4, Rows: 2, Cols: 2})
	fails(t, err, CodeShape, "image")
	c, _ := onRef()
	must(NewScorer(c, l, smallModel, "attention"))
	_, err = l.AddSequence(SequenceShape{Length: 1})
	fails(t, err, CodeState, "layout")
}

func TestPolicyIsWhatWasSaid(t *testing.T) {
	p := must(PolicyFromYAML(fastv, "here"))
	equal(t, p.Name(), "mine")
	equal(t, p.Stages(), 1)
	equal(t, must(PolicyFromYAML(p.YAML(), "again")).YAML(), p.YAML())
	info := must(p.Info())
	equal(t, info.Needs&NeedAttention != 0 && info.InLLM && info.TextDependent && info.Merges, true)
	equal(t, info.LastBoundary, 2)
	point := must(p.Point(0))
	equal(t, []int{int(point.Kind), point.Boundary, point.ScoreLayer, point.RowsIn}, []int{int(LLM), 2, 1, 0})
	equal(t, strings.Contains(must(p.WithBudget(-1, "{count: 12}")).YAML(), "count: 12"), true)
	equal(t, must(must(p.WithPoint(-1, LLM, 3)).Point(0)).Boundary, 3)
	equal(t, must(must(must(Preset("fastv")).WithDepth(32, 64, 0, 0)).Point(0)).Boundary, 4)
	equal(t, strings.Contains(must(must(Preset("random")).WithSeed(1<<64-1)).YAML(), "18446744073709551615"), true)
	equal(t, strings.Contains(strings.Join(Presets(), " "), "sparsevlm-plus"), true)
	_, err := Preset("fastw")
	fails(t, err, CodePolicy, "fastv")
	_, err = LoadPolicy("/nowhere.yaml")
	fails(t, err, CodeIO, "/nowhere.yaml")
	equal(t, must(ResolveBudget("{ratio: 2/9}", 576, 0, 32)), 128)
	_, err = ResolveBudget("{count: 9}", 4, 0, 32)
	fails(t, err, CodeOption, "count is 9")
}

func TestPartsOneAfterTheOtherAreTheSequence(t *testing.T) {
	c, e := onRef()
	l := smallBatch()
	p := must(PolicyFromYAML(fastv, "here"))
	hidden := numbers(47*12, 3)
	rows := must(NewTensor(hidden, 47, 12))
	in := &Inputs{
		Q: must(NewTensor(numbers(47*24, 1), 47, 4, 6)), K: must(NewTensor(numbers(47*12, 2), 47, 2, 6)),
		Hidden: rows,
	}
	scorer := must(ScorerOf(p, 0, c, l, smallModel))
	own := must(NewScorer(c, l, smallModel, "{kind: attention, query: last}"))
	selector := must(SelectorOf(p, 0, c, l, smallModel))
	merger := must(MergerOf(p, 0, c, selector, smallModel))
	equal(t, scorer.Needs(), NeedAttention)
	equal(t, must(scorer.QueryRows()), []int32{46})
	scores := must(scorer.Run(e, in))
	equal(t, must(own.Run(e, in)), scores)
	ranked := *in
	ranked.Scores = must(NewTensor(scores, 36))
	kept, offsets, err := selector.Run(e, &ranked)
	must(0, err)
	equal(t, offsets, []int32{0, 9})
	equal(t, selector.Count(0), 9)
	byHand := must(NewSelector(c, l, "topk", "{ratio: 1/4}", nil))
	again, _, err := byHand.Run(e, &Inputs{Scores: ranked.Scores})
	must(0, err)
	equal(t, again, kept)
	newRows := make([]float32, 9*12)
	sizes, went, err := merger.Run(e, in, kept, must(NewTensor(newRows, 9, 12)))
	must(0, err)
	sum := float32(0)
	for _, s := range sizes {
		sum += s
	}
	equal(t, sum, float32(36))
	equal(t, len(went), 36)

	s := must(NewSequence(c, e))
	must(0, s.Begin(p, l, smallModel))
	point := must(s.Next())
	equal(t, []int{int(point.Kind), point.Boundary, point.RowsIn, point.RowsOut}, []int{int(LLM), 2, 47, 20})
	equal(t, must(s.QueryRows()), []int32{46})
	d := must(s.Prune(in))
	equal(t, must(d.Scores()), scores)
	var visual []int32
	for _, row := range must(d.Indices()) {
		if row >= 1 && row < 37 {
			visual = append(visual, row-1)
		}
	}
	equal(t, visual, kept)
	equal(t, must(s.KeptCells(0)), kept)
	out, kv := make([]float32, 20*12), make([]float32, 20*12)
	must(0, d.Gather(must(NewTensor(out, 20, 12)), rows))
	must(0, d.GatherKV(must(NewTensor(kv, 20, 12)), rows))
	equal(t, out[12:12+9*12], newRows)
	equal(t, kv[:12], hidden[:12])
	equal(t, must(s.Rows()), must(d.Indices()))
	equal(t, must(s.Next()) == nil, true)
	r := must(s.Report())
	equal(t, []int64{r.VisualBefore, r.VisualAfter, r.LayerTokens[0], r.LayerTokens[2]}, []int64{36, 9, 47, 20})
	equal(t, r.MACs < r.MACsUnpruned, true)
	must(0, s.Begin(p, l, smallModel))
	_, err = d.Indices()
	fails(t, err, CodeState, "decision")
}

func TestSlicesAreNotCopied(t *testing.T) {
	data := numbers(47*12, 1)
	view := must(NewTensor(data, 47, 12))
	equal(t, view.Address(), uintptr(unsafe.Pointer(&data[0])))
	equal(t, view.Shape(), []int64{47, 12})
	// What C writes is in the slice that was given.
	c, e := onRef()
	s := must(NewScorer(c, smallBatch(), smallModel, "{kind: norm, norm: l2}"))
	scores := make([]float32, 36)
	must(0, s.RunInto(e, &Inputs{Hidden: view}, must(NewTensor(scores, 36))))
	equal(t, scores[7] > 0, true)
}

func TestWrongViewsAreRefused(t *testing.T) {
	data := make([]float32, 12)
	_, err := NewTensor(data, 3, 5)
	fails(t, err, CodeShape, "slice of 12 elements")
	_, err = NewStridedTensor(data, []int{3, 4}, []int{5, 1})
	fails(t, err, CodeShape, "reaches past")
	must(NewStridedTensor(data, []int{3, 2}, []int{4, 1}))
	must(NewTensor([]float32(nil), 0, 4))
	for _, shape := range [][]int{{1 << 62, 2}, {-1, -12}, {1, 1, 1, 1, 1, 1, 12}, {1 << 40, 1 << 40}} {
		_, err = NewTensor(data, shape...)
		fails(t, err, CodeShape, "tensor")
	}
	_, err = NewStridedTensor(data, []int{3, 1 << 62}, []int{1 << 62, 2})
	fails(t, err, CodeShape, "reaches past")
	_, err = NewStridedTensor(data, []int{3}, []int{1, 1})
	fails(t, err, CodeShape, "strides")

	c, e := onRef()
	l := smallBatch()
	s := must(NewScorer(c, l, smallModel, "attention"))
	_, err = s.Run(e, nil)
	fails(t, err, CodeArgument, "q")
	few := must(NewTensor(data, 2, 6))
	_, err = s.Run(e, &Inputs{Q: few, K: few})
	fails(t, err, CodeShape, "q")
	_, err = s.Run(e, &Inputs{TextOffsets: []int32{0}})
	fails(t, err, CodeShape, "text_offsets")
	_, err = NewScorer(c, l, smallModel, "{kind: nonsense}")
	fails(t, err, CodePolicy, "nonsense")
	_, err = NewScorer(c, l, ModelShape{}, "attention")
	fails(t, err, CodeOption, "heads")
	pick := must(NewSelector(c, l, "topk", "{count: 3}", nil))
	_, _, err = pick.Run(e, &Inputs{Scores: must(NewTensor(make([]float32, 5), 5))})
	fails(t, err, CodeShape, "scores")
	_, err = NewSelector(c, l, "topk", "{count: 99}", nil)
	fails(t, err, CodeOption, "99")
	merge := must(NewMerger(c, pick, smallModel, "nearest"))
	rows := must(NewTensor(make([]float32, 36), 3, 12))
	_, _, err = merge.Run(e, &Inputs{}, []int32{0, 1, 99}, rows)
	fails(t, err, CodeArgument, "candidate 99")
	q := must(NewSequence(c, e))
	_, err = q.Next()
	fails(t, err, CodeState, "")
	_, err = q.Prune(&Inputs{})
	fails(t, err, CodeState, "")
}

func TestWhatIsClosedSaysSo(t *testing.T) {
	c, e := onRef()
	l := smallBatch()
	s := must(NewScorer(c, l, smallModel, "{kind: norm}"))
	p := must(Preset("fastv"))
	for _, o := range []interface{ Close() error }{s, e, l, p, c} {
		must(0, o.Close())
		must(0, o.Close())
	}
	_, err := s.Run(e, &Inputs{})
	fails(t, err, CodeState, "is closed")
	_, err = NewExec(c)
	fails(t, err, CodeState, "context: is closed")
	_, err = p.WithSeed(1)
	fails(t, err, CodeState, "policy: is closed")
	equal(t, []int{l.Rows(), p.Stages(), len(c.Backends())}, []int{-1, 0, 0})
}

func resident() int {
	words := strings.Fields(string(must(os.ReadFile("/proc/self/statm"))))
	return (must(strconv.Atoi(words[1])) - must(strconv.Atoi(words[2]))) * os.Getpagesize()
}

func oneLife(c *Context, hidden []float32) {
	e, l := must(NewExec(c)), smallBatch()
	p := must(PolicyFromYAML(fastv, "here"))
	s := must(NewSequence(c, e))
	must(0, s.Begin(p, l, smallModel))
	must(s.Next())
	in := &Inputs{
		Q: must(NewTensor(numbers(47*24, 1), 47, 4, 6)), K: must(NewTensor(numbers(47*12, 2), 47, 2, 6)),
		Hidden: must(NewTensor(hidden, 47, 12)),
	}
	must(must(s.Prune(in)).Indices())
	if _, err := Preset("?"); err == nil {
		panic("a preset named ?")
	}
	for _, o := range []interface{ Close() error }{s, e, l, p} {
		must(0, o.Close())
	}
}

func TestThousandsOfLivesLeaveNothingBehind(t *testing.T) {
	c, _ := onRef()
	hidden := numbers(47*12, 3)
	for i := 0; i < 500; i++ {
		oneLife(c, hidden)
	}
	runtime.GC()
	before := resident()
	for i := 0; i < 3000; i++ {
		oneLife(c, hidden)
	}
	runtime.GC()
	if more := resident() - before; more > 12<<20 {
		t.Errorf("%d bytes", more)
	}
}

func TestGoroutinesSharePlans(t *testing.T) {
	c, e := onRef()
	s := must(NewScorer(c, smallBatch(), smallModel, "{kind: norm, norm: l2}"))
	in := &Inputs{Hidden: must(NewTensor(numbers(47*12, 3), 47, 12))}
	want := must(s.Run(e, in))
	var all sync.WaitGroup
	for g := 0; g < 4; g++ {
		all.Add(1)
		go func() {
			defer all.Done()
			own := must(NewExec(c))
			defer own.Close()
			for i := 0; i < 200; i++ {
				if !reflect.DeepEqual(must(s.Run(own, in)), want) {
					t.Error("another result")
				}
				_, err := Preset("?")
				fails(t, err, CodePolicy, "?")
			}
		}()
	}
	all.Wait()
	// One exec for two goroutines: an error, no crash; closing what is in use likewise.
	var clashes sync.WaitGroup
	for g := 0; g < 2; g++ {
		clashes.Add(1)
		go func() {
			defer clashes.Done()
			for i := 0; i < 500; i++ {
				if got, err := s.Run(e, in); err == nil {
					if !reflect.DeepEqual(got, want) {
						t.Error("another result")
					}
				} else {
					fails(t, err, CodeState, "another call")
				}
			}
		}()
	}
	clashes.Wait()
	runtime.GC() // finalizers of what nobody closed
}

func BenchmarkCall(b *testing.B) {
	c, e := onRef()
	l := must(NewLayout())
	must(l.AddSequence(SequenceShape{Length: 6}))
	must(l.AddImage(Image{Start: 1, Rows: 2, Cols: 2}))
	s := must(NewScorer(c, l, ModelShape{Hidden: 4, Heads: 1}, "{kind: norm, norm: l2}"))
	in := &Inputs{Hidden: must(NewTensor(make([]float32, 24), 6, 4))}
	scores := must(NewTensor(make([]float32, 4), 4))
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := s.RunInto(e, in, scores); err != nil {
			b.Fatal(err)
		}
	}
}

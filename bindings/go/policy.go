package tokenprune

import "github.com/tokenprune/tokenprune/bindings/go/internal/native"

// Policy is a named list of stages: where to cut, how to score, select and merge, and to how
// many. It is data, and may be shared by everything.
type Policy struct{ object }

// PointKind says where a stage acts.
type PointKind int

// Where stages act.
const (
	Projector PointKind = 1 // before the language model
	LLM       PointKind = 2 // before decoder layer Boundary
	Vision    PointKind = 3 // after Boundary blocks of the encoder
	KV        PointKind = 4 // after prefill, in the caches
	VisionMLP PointKind = 5 // inside a block of the encoder
)

// Needs are bits of what a stage wants to be given.
type Needs uint32

// What a stage may want.
const (
	NeedAttention      Needs = 1
	NeedHidden         Needs = 2
	NeedCLSAttention   Needs = 4
	NeedNormWeight     Needs = 8
	NeedScores         Needs = 16
	NeedText           Needs = 32
	NeedValues         Needs = 64
	NeedVision         Needs = 128
	NeedVisionKeys     Needs = 256
	NeedClip           Needs = 512
	NeedClipText       Needs = 1024
	NeedClipTokens     Needs = 2048
	NeedEmbeddings     Needs = 4096
	NeedCLSShallow     Needs = 8192
	NeedKeys           Needs = 16384
	NeedPlainAttention Needs = 32768
	NeedVisionValues   Needs = 65536
)

// Point is a place in the forward where the batch is cut.
type Point struct {
	Kind       PointKind
	Stage      int // number in the policy
	Boundary   int
	ScoreLayer int // whose q and k are wanted; -1 = none
	Needs      Needs
	RowsIn     int
	RowsOut    int // the most there may be where the data decide
	QueryRows  int
	KVBegin    int // layers whose caches are cut
	KVEnd      int
}

func pointOf(p native.Tkp_point) Point {
	return Point{
		Kind: PointKind(p.GetKind()), Stage: p.GetStage(), Boundary: p.GetBoundary(),
		ScoreLayer: p.GetScore_layer(), Needs: Needs(p.GetNeeds()), RowsIn: int(p.GetRows_in()),
		RowsOut: int(p.GetRows_out()), QueryRows: int(p.GetQuery_rows()),
		KVBegin: p.GetKv_begin(), KVEnd: p.GetKv_end(),
	}
}

// PolicyInfo is what an engine can ask before it runs anything.
type PolicyInfo struct {
	Needs                                                             Needs
	TextDependent, Merges, InVision, InLLM, Evicts, Adaptive, KeyBias bool
	LastBoundary                                                      int // -1 = none
}

// Presets gives the names of the methods there are.
func Presets() []string {
	names := make([]string, native.Flat_preset_count())
	for i := range names {
		names[i] = native.Flat_preset_name(i)
	}
	return names
}

func newPolicy(make func(out []int64) error, of ...*object) (*Policy, error) {
	out := []int64{0}
	if err := with(func() error { return make(out) }, of...); err != nil {
		return nil, err
	}
	p := &Policy{}
	p.open("policy", out[0])
	return p, nil
}

// Preset is a method by name, with the numbers of its paper.
func Preset(name string) (*Policy, error) {
	return newPolicy(func(out []int64) error { return native.Flat_policy_load_preset(out, name) })
}

// PolicyFromYAML reads a text; source stands for the file's name in messages.
func PolicyFromYAML(text, source string) (*Policy, error) {
	return newPolicy(func(out []int64) error { return native.Flat_policy_load_text(out, text, source) })
}

// LoadPolicy reads a YAML file.
func LoadPolicy(path string) (*Policy, error) {
	return newPolicy(func(out []int64) error { return native.Flat_policy_load_file(out, path) })
}

// WithBudget is a copy with one stage's budget changed, said as in a policy file:
// "{ratio: 1/4}". Stage -1 is the only one that has a budget.
func (p *Policy) WithBudget(stage int, budget string) (*Policy, error) {
	return newPolicy(func(out []int64) error {
		return native.Flat_policy_with_budget(out, p.handle, stage, budget)
	}, &p.object)
}

// WithPoint is a copy with a stage moved; its score layer follows.
func (p *Policy) WithPoint(stage int, kind PointKind, boundary int) (*Policy, error) {
	return newPolicy(func(out []int64) error {
		return native.Flat_policy_with_point(out, p.handle, stage, int(kind), boundary)
	}, &p.object)
}

// WithDepth is a copy for a model of another depth; blocks are those of the encoder, 0 = as they
// are.
func (p *Policy) WithDepth(fromLayers, layers, fromBlocks, blocks int) (*Policy, error) {
	return newPolicy(func(out []int64) error {
		return native.Flat_policy_with_depth(out, p.handle, fromLayers, layers, fromBlocks, blocks)
	}, &p.object)
}

// WithSeed is a copy in which every random selector draws from this seed.
func (p *Policy) WithSeed(seed uint64) (*Policy, error) {
	return newPolicy(func(out []int64) error {
		return native.Flat_policy_with_seed(out, p.handle, int64(seed))
	}, &p.object)
}

// YAML is the policy with every default written out; empty of a closed one, as below.
func (p *Policy) YAML() (text string) {
	_ = with(func() error { text = native.Flat_policy_yaml(p.handle); return nil }, &p.object)
	return text
}

// Name of the policy.
func (p *Policy) Name() (name string) {
	_ = with(func() error { name = native.Flat_policy_name(p.handle); return nil }, &p.object)
	return name
}

// Stages is how many it has.
func (p *Policy) Stages() (n int) {
	_ = with(func() error { n = native.Flat_policy_stage_count(p.handle); return nil }, &p.object)
	return n
}

// Info says what it will want, before anything runs.
func (p *Policy) Info() (PolicyInfo, error) {
	raw := native.NewTkp_policy_info()
	defer native.DeleteTkp_policy_info(raw)
	if err := with(func() error { return native.Flat_policy_query(p.handle, raw) }, &p.object); err != nil {
		return PolicyInfo{}, err
	}
	has := func(bit uint) bool { return raw.GetFlags()&bit != 0 }
	return PolicyInfo{
		Needs: Needs(raw.GetNeeds()), TextDependent: has(1), Merges: has(2), InVision: has(4),
		InLLM: has(8), Evicts: has(16), Adaptive: has(32), KeyBias: has(64),
		LastBoundary: raw.GetLast_boundary(),
	}, nil
}

// Point says what stage i will ask for; rows are not known yet, and 0.
func (p *Policy) Point(i int) (Point, error) {
	raw := native.NewTkp_point()
	defer native.DeleteTkp_point(raw)
	err := with(func() error { return native.Flat_policy_get_point(p.handle, i, raw) }, &p.object)
	return pointOf(raw), err
}

// ResolveBudget gives the tokens kept of n by a cut before layer boundary of layers.
func ResolveBudget(budget string, n, boundary, layers int) (int, error) {
	out := []int64{0}
	err := native.Flat_budget_resolve(out, budget, int64(n), boundary, layers)
	return int(out[0]), failure(err)
}

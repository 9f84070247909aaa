package tokenprune

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The golden cases of tests/golden, as tests/api/test_policy_golden.c runs them.

func golden(t testing.TB, path ...string) string {
	root := os.Getenv("TKP_TEST_DATA")
	if root == "" {
		t.Skip("TKP_TEST_DATA is not set: the folder tests/golden")
	}
	return filepath.Join(append([]string{root}, path...)...)
}

type goldenCase struct {
	t        *testing.T
	name     string
	data     []byte
	context  *Context
	exec     *Exec
	layout   *Layout
	model    ModelShape
	stages   []string
	policy   *Policy
	sequence *Sequence
	inputs   *Inputs
	decision *Decision
	checked  int
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func number(word string) int { return must(strconv.Atoi(word)) }

func shapeOf(word string) (shape []int, n int) {
	n = 1
	for _, size := range strings.Split(word, "x") {
		shape = append(shape, number(size))
		n *= number(size)
	}
	return shape, n
}

func (c *goldenCase) ints(word string, offset string) []int32 {
	_, n := shapeOf(word)
	found := make([]int32, n)
	must(0, binary.Read(bytes.NewReader(c.data[number(offset):]), binary.LittleEndian, found))
	return found
}

func (c *goldenCase) floats(word string, offset string) []float32 {
	_, n := shapeOf(word)
	found := make([]float32, n)
	must(0, binary.Read(bytes.NewReader(c.data[number(offset):]), binary.LittleEndian, found))
	return found
}

func (c *goldenCase) tensor(words []string) *Tensor {
	shape, _ := shapeOf(words[1])
	switch words[0] {
	case "f32":
		return must(NewTensor(c.floats(words[1], words[2]), shape...))
	case "i32":
		return must(NewTensor(c.ints(words[1], words[2]), shape...))
	}
	panic("dtype " + words[0])
}

func (c *goldenCase) mask(word string, cells int) []uint8 {
	if word == "-" {
		return nil
	}
	return c.data[number(word) : number(word)+cells]
}

func (c *goldenCase) begin() {
	if c.sequence != nil {
		return
	}
	if c.stages != nil {
		c.policy = must(PolicyFromYAML("tokenprune: 1\nname: golden\nstages:\n"+strings.Join(c.stages, "\n"), c.name))
	}
	c.sequence = must(NewSequence(c.context, c.exec))
	must(0, c.sequence.Begin(c.policy, c.layout, c.model))
}

func (c *goldenCase) give(name string, words []string) {
	in := c.inputs
	offsets := map[string]*[]int32{
		"text_offsets": &in.TextOffsets, "clip_text_offsets": &in.ClipTextOffsets,
		"clip_token_offsets": &in.ClipTokenOffsets,
	}
	if to, ok := offsets[name]; ok {
		*to = c.ints(words[1], words[2])
		return
	}
	tensors := map[string]**Tensor{
		"q": &in.Q, "k": &in.K, "lse": &in.LSE, "block_table": &in.BlockTable,
		"attention_rows": &in.AttentionRows, "attention": &in.Attention, "hidden": &in.Hidden,
		"norm_weight": &in.NormWeight, "cls_attention": &in.CLSAttention, "scores": &in.Scores,
		"text": &in.Text, "values": &in.Values, "vision": &in.Vision, "vision_keys": &in.VisionKeys,
		"cls_shallow": &in.CLSShallow, "clip": &in.Clip, "clip_text": &in.ClipText,
		"clip_tokens": &in.ClipTokens, "embeddings": &in.Embeddings, "pivot_order": &in.PivotOrder,
		"plain_q": &in.PlainQ, "plain_k": &in.PlainK, "vision_values": &in.VisionValues,
	}
	to, ok := tensors[name]
	if !ok {
		panic("input " + name)
	}
	*to = c.tensor(words)
}

func (c *goldenCase) read(line string) {
	w := strings.Fields(line)
	switch w[0] {
	case "|":
		c.stages = append(c.stages, line[2:])
	case "preset":
		c.policy = must(Preset(w[1]))
	case "model":
		c.model.Dtype = map[string]Dtype{"f32": F32Type, "f16": F16Type, "bf16": BF16Type}[w[1]]
		c.model.Layers, c.model.Heads, c.model.KVHeads = number(w[2]), number(w[3]), number(w[4])
		c.model.HeadDim, c.model.Hidden = number(w[5]), number(w[6])
	case "widths":
		for i, to := range []*int{&c.model.VisionHidden, &c.model.VisionKeyDim, &c.model.ClipDim,
			&c.model.TextRows, &c.model.ClipTextRows, &c.model.ClipTokenRows} {
			if i+1 < len(w) {
				*to = number(w[i+1])
			}
		}
	case "sequence":
		must(c.layout.AddSequence(SequenceShape{Length: number(w[2]), TextBegin: number(w[3]),
			TextEnd: number(w[4]), ID: uint32(number(w[1]))}))
	case "image":
		i := Image{Sequence: c.layout.Sequences() - 1, Start: number(w[1]), Frames: number(w[2]),
			Rows: number(w[3]), Cols: number(w[4]), RowStride: number(w[5])}
		cells := i.Rows * i.Cols
		if i.Frames > 1 {
			cells *= i.Frames
		}
		i.Valid, i.Keep = c.mask(w[6], cells), c.mask(w[7], cells)
		must(c.layout.AddImage(i))
	case "positions":
		shape := w[1] + "x" + strconv.Itoa(c.layout.Rows())
		must(0, c.layout.SetPositions(c.tensor([]string{"i32", shape, w[2]})))
	case "point":
		c.begin()
		point := must(c.sequence.Next())
		if point == nil || point.Stage != number(w[1]) {
			c.t.Fatalf("%s: met %v, wanted stage %s", c.name, point, w[1])
		}
		c.inputs, c.decision = &Inputs{}, nil
	case "in":
		c.give(w[1], w[2:])
	case "out":
		c.compare(w[1], w[2:])
	case "next":
		if at := c.sequence.NextPosition(number(w[1]), number(w[2])); at != number(w[3]) {
			c.t.Fatalf("%s: next position %d, wanted %s", c.name, at, w[3])
		}
		c.checked++
	case "#":
	default:
		c.t.Fatalf("%s: line %q", c.name, line)
	}
}

func wide[T int32 | float32](list []T, err error) []float64 {
	must(0, err)
	out := make([]float64, len(list))
	for i, x := range list {
		out[i] = float64(x)
	}
	return out
}

func (c *goldenCase) compare(field string, words []string) {
	if c.decision == nil {
		c.decision = must(c.sequence.Prune(c.inputs))
	}
	d := c.decision
	var met []float64
	switch field {
	case "indices":
		met = wide(d.Indices())
	case "offsets":
		met = wide(d.Offsets())
	case "positions":
		met = wide(d.Positions())
	case "sizes":
		met = wide(d.Sizes())
	case "assignment":
		met = wide(d.Assignment())
	case "scores":
		met = wide(d.Scores())
	case "key_bias":
		met = wide(d.KeyBias())
	case "merged":
		met = wide(d.Merged())
	case "merged_at":
		met = wide(d.MergedAt())
	default:
		c.t.Fatalf("%s: field %s", c.name, field)
	}
	var want []float64
	if words[0] == "f32" {
		want = wide(c.floats(words[1], words[2]), nil)
	} else {
		want = wide(c.ints(words[1], words[2]), nil)
	}
	if len(met) != len(want) {
		c.t.Fatalf("%s: %s has %d entries, wanted %d", c.name, field, len(met), len(want))
	}
	for i, b := range want {
		a := met[i]
		if a != b && !(math.Abs(a-b) <= 1e-5*math.Max(1, math.Abs(b))) {
			c.t.Fatalf("%s: %s[%d] is %v, not %v", c.name, field, i, a, b)
		}
	}
	c.checked++
}

func (c *goldenCase) close() {
	if p := must(c.sequence.Next()); p != nil || c.checked == 0 {
		c.t.Fatalf("%s: %v after %d checks", c.name, p, c.checked)
	}
	for _, o := range []interface{ Close() error }{c.sequence, c.exec, c.layout, c.policy} {
		must(0, o.Close())
	}
}

func TestGoldenCasesGiveTheSameDecision(t *testing.T) {
	context := must(NewContext(ContextOptions{Backends: "ref"}))
	defer context.Close()
	for _, folder := range []string{"policies", "published", "controls", "methods"} {
		data := must(os.ReadFile(golden(t, folder, "vectors.bin")))
		file := must(os.Open(golden(t, folder, "cases.txt")))
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		var c *goldenCase
		cases := 0
		for lines.Scan() {
			line := lines.Text()
			if rest := strings.TrimPrefix(line, "case "); rest != line {
				if c != nil {
					c.close()
				}
				c = &goldenCase{t: t, name: strings.Fields(rest)[0], data: data, context: context,
					exec: must(NewExec(context)), layout: must(NewLayout())}
				cases++
			} else if c != nil && strings.TrimSpace(line) != "" {
				c.read(line)
			}
		}
		c.close()
		file.Close()
		if cases < 3 {
			t.Fatalf("%s: %d cases", folder, cases)
		}
	}
}

func TestWrongPoliciesHaveTheSameMessage(t *testing.T) {
	paths := must(filepath.Glob(golden(t, "policies", "bad", "*.yaml")))
	if len(paths) < 10 {
		t.Fatal(paths)
	}
	for _, path := range paths {
		want := strings.TrimRight(string(must(os.ReadFile(strings.TrimSuffix(path, ".yaml")+".txt"))), "\n")
		_, err := PolicyFromYAML(string(must(os.ReadFile(path))), filepath.Base(path))
		var e *Error
		if !errors.As(err, &e) || e.Code.String()+" "+e.Message != want {
			t.Errorf("%s: %v, wanted %s", path, err, want)
		}
	}
}

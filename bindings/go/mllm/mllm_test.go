package mllm

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	tokenprune "github.com/tokenprune/tokenprune/bindings/go"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func demo(t *testing.T, path string) string {
	root := os.Getenv("TKP_TEST_DATA")
	if root == "" {
		t.Skip("TKP_TEST_DATA is not set: the folder tests/golden")
	}
	return filepath.Join(root, "..", "..", "examples", "demo", path)
}

func TestAnswersPrunedAndNot(t *testing.T) {
	c := must(tokenprune.NewContext(tokenprune.ContextOptions{}))
	defer c.Close()
	m := must(Load(c, demo(t, "model"), Options{}))
	defer m.Close()
	if info := must(m.Info()); info.Kind != "llava" || info.GridRows != 12 {
		t.Error(info)
	}
	r := Request{Prompt: "What color is the circle?", Images: []string{demo(t, "images/scene_00.png")}}
	whole, report, err := m.Generate([]Request{r, r}, GenerateOptions{})
	must(0, err)
	if report.VisualAfter != 288 || whole[0].Text == "" || !reflect.DeepEqual(whole[0].Tokens, whole[1].Tokens) {
		t.Error(whole, report)
	}
	policy := must(must(tokenprune.Preset("fastv")).WithBudget(-1, "{count: 36}"))
	pruned, less, err := m.Generate([]Request{r}, GenerateOptions{Policy: policy, MaxNewTokens: 4})
	must(0, err)
	if less.VisualAfter != 36 || len(pruned[0].Kept[0]) != 36 || len(pruned[0].Tokens) == 0 ||
		less.MACs >= less.MACsUnpruned || len(less.LayerTokens) == 0 {
		t.Error(pruned, less)
	}
}

func TestFailuresComeOut(t *testing.T) {
	c := must(tokenprune.NewContext(tokenprune.ContextOptions{}))
	defer c.Close()
	_, err := Load(c, "/nowhere", Options{})
	if !errors.Is(err, &tokenprune.Error{Code: tokenprune.CodeIO}) {
		t.Error(err)
	}
	m := must(Load(c, demo(t, "model"), Options{}))
	_, _, err = m.Generate([]Request{{Prompt: "Hello", Images: []string{"/nowhere.png"}}}, GenerateOptions{})
	if !errors.Is(err, &tokenprune.Error{Code: tokenprune.CodeIO}) {
		t.Error(err)
	}
	must(0, m.Close())
	_, _, err = m.Generate([]Request{{Prompt: "Hello"}}, GenerateOptions{})
	if !errors.Is(err, &tokenprune.Error{Code: tokenprune.CodeState}) {
		t.Error(err)
	}
}

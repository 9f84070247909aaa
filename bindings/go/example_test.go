package tokenprune_test

import (
	"fmt"
	"log"

	tokenprune "github.com/tokenprune/tokenprune/bindings/go"
)

func numbers(n int) []float32 { // in an engine: what the forward has at hand
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i*2654435761%65536) / 65536
	}
	return x
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// In an engine: begin a batch, run the forward up to each point, let it decide.
func Example() {
	context, err := tokenprune.NewContext(tokenprune.ContextOptions{}) // for the whole process
	check(err)
	defer context.Close()
	exec, err := tokenprune.NewExec(context) // one for each goroutine at work
	check(err)
	defer exec.Close()
	layout, err := tokenprune.NewLayout() // 622 tokens, a 24 x 24 image from row 35
	check(err)
	_, err = layout.AddSequence(tokenprune.SequenceShape{Length: 622})
	check(err)
	_, err = layout.AddImage(tokenprune.Image{Start: 35, Rows: 24, Cols: 24})
	check(err)
	policy, err := tokenprune.Preset("fastv")
	check(err)
	model := tokenprune.ModelShape{Layers: 8, Heads: 8, Hidden: 256, Intermediate: 704}

	sequence, err := tokenprune.NewSequence(context, exec)
	check(err)
	defer sequence.Close()
	check(sequence.Begin(policy, layout, model))
	hidden, err := tokenprune.NewTensor(numbers(622*256), 622, 256)
	check(err)
	for {
		point, err := sequence.Next() // before layer 2: q and k of layer 1 are wanted
		check(err)
		if point == nil {
			break
		}
		q, err := tokenprune.NewTensor(numbers(622*256), 622, 8, 32) // no copy: C reads the slice
		check(err)
		k, err := tokenprune.NewTensor(numbers(622*256), 622, 8, 32)
		check(err)
		decision, err := sequence.Prune(&tokenprune.Inputs{Q: q, K: k})
		check(err)
		fewer, err := tokenprune.NewTensor(make([]float32, point.RowsOut*256), point.RowsOut, 256)
		check(err)
		check(decision.Gather(fewer, hidden))
		hidden = fewer
	}
	report, err := sequence.Report()
	check(err)
	fmt.Println(report.VisualBefore, report.VisualAfter, hidden.Shape())
	// Output: 576 144 [190 256]
}

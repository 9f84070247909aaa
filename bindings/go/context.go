// Package tokenprune removes or merges the visual tokens that a multimodal language model does
// not need: libtokenprune from Go.
//
// Slices are handed over as they are: nothing is copied, and nothing of the caller's is
// remembered once a call is over. Objects are closed by Close; a finalizer is the safety net.
package tokenprune

import (
	"unsafe"

	"github.com/tokenprune/tokenprune/bindings/go/internal/native"
)

// Version of the library that is loaded.
func Version() string { return native.Flat_version() }

// ContextOptions choose backends, threads or a device; the zero value is every backend of the
// CPU, best first, and one thread.
type ContextOptions struct {
	Backends   string // names, best first: "cpu,ref"
	BackendDir string // where backend modules lie
	Threads    int    // inside an operation
	CUDA       bool   // work on a device
	Device     int    // its number
}

// Context is what a process shares. Any number of goroutines may use it.
type Context struct{ object }

// NewContext loads the backends.
func NewContext(o ContextOptions) (*Context, error) {
	kind := 1
	if o.CUDA {
		kind = 2
	}
	out := []int64{0}
	if err := native.Flat_context_create(out, o.Backends, o.BackendDir, o.Threads, kind, o.Device); err != nil {
		return nil, failure(err)
	}
	c := &Context{}
	c.open("context", out[0])
	return c, nil
}

// Backends gives their names, best first; none of a closed context.
func (c *Context) Backends() []string {
	var names []string
	_ = with(func() error {
		for i := 0; i < native.Flat_context_backend_count(c.handle); i++ {
			names = append(names, native.Flat_context_backend_name(c.handle, i))
		}
		return nil
	}, &c.object)
	return names
}

// Exec is what one goroutine at a time, or one CUDA stream, works with. It has the memory for
// intermediate results, which grows to what calls need.
type Exec struct{ object }

// NewExec on the CPU, or on the device's default stream.
func NewExec(c *Context) (*Exec, error) { return NewExecOnStream(c, nil) }

// NewExecOnStream takes a cudaStream_t that outlives the exec.
func NewExecOnStream(c *Context, stream unsafe.Pointer) (*Exec, error) {
	out := []int64{0}
	err := with(func() error {
		return native.Flat_exec_create(out, c.handle, int64(uintptr(stream)))
	}, &c.object)
	if err != nil {
		return nil, err
	}
	e := &Exec{}
	e.open("exec", out[0])
	return e, nil
}

// Reserve makes room beforehand, so that no later call allocates.
func (e *Exec) Reserve(bytes int64) error {
	if err := e.enterAlone(); err != nil {
		return err
	}
	defer e.leaveAlone()
	return failure(native.Flat_exec_reserve(e.handle, bytes))
}

// alone runs a call with an exec, or a sequence, that nobody else uses meanwhile.
func (o *object) alone(call func() error, others ...*object) error {
	if err := o.enterAlone(); err != nil {
		return err
	}
	defer o.leaveAlone()
	return with(call, others...)
}

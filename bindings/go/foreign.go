package tokenprune

// What the package mllm, which has a native layer of its own, needs of this one.

// Foreign is an object that another package made.
type Foreign struct{ object }

// Open takes what its native create call gave.
func (f *Foreign) Open(what string, handle int64) { f.open(what, handle) }

// Use runs a call with the object open; what it is handed is for native layers.
func (o *object) Use(call func(handle int64) error) error {
	return with(func() error { return call(o.handle) }, o)
}

// Record describes the tensor to native layers.
func (t *Tensor) Record(slot int) []int64 {
	r := append([]int64(nil), t.record[:]...)
	r[0] = int64(slot)
	return r
}

// Alive holds what C was given an address of until a call is over.
func Alive(held ...any) { alive(held...) }

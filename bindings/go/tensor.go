package tokenprune

import (
	"unsafe"

	"github.com/tokenprune/tokenprune/bindings/go/internal/native"
)

// F16 and BF16 are half types, as bits.
type (
	F16  uint16
	BF16 uint16
)

// Dtype is an element type.
type Dtype int

// Element types.
const (
	F32Type  Dtype = 1
	F16Type  Dtype = 2
	BF16Type Dtype = 3
	I32Type  Dtype = 4
	I64Type  Dtype = 5
	U8Type   Dtype = 6
)

// Element is what slices for tensors are of.
type Element interface {
	~float32 | ~int32 | ~int64 | ~uint8 | F16 | BF16
}

// Tensor is a view of a slice, or of a device's memory. It keeps the slice alive.
type Tensor struct {
	keeps  any
	record [recordLength]int64 // but for the slot
}

const (
	maxDims      = 6
	recordLength = 6 + 2*maxDims
)

func init() {
	if native.FLAT_RECORD != recordLength {
		panic("tokenprune: made for another version of the library")
	}
}

func dtypeOf[T Element]() Dtype {
	var x T
	switch any(x).(type) {
	case F16:
		return F16Type
	case BF16:
		return BF16Type
	}
	switch unsafe.Sizeof(x) {
	case 1:
		return U8Type
	case 8:
		return I64Type
	}
	// What is left has four bytes: a float divides, a whole number does not.
	one := T(1)
	if one/T(2) != 0 {
		return F32Type
	}
	return I32Type
}

// elsewhere makes slices live on the heap, where they do not move.
var elsewhere any

var never bool

// NewTensor is a row-major view of all of data.
func NewTensor[T Element](data []T, shape ...int) (*Tensor, error) {
	strides := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = n
		if shape[i] < 0 || (shape[i] > 0 && n > len(data)/shape[i]+1) {
			return nil, fail(CodeShape, "tensor: %v of a slice of %d elements", shape, len(data))
		}
		n *= shape[i]
	}
	if n != len(data) {
		return nil, fail(CodeShape, "tensor: %v of a slice of %d elements", shape, len(data))
	}
	return NewStridedTensor(data, shape, strides)
}

// NewStridedTensor may have gaps: strides in elements.
func NewStridedTensor[T Element](data []T, shape, strides []int) (*Tensor, error) {
	if len(shape) != len(strides) || len(shape) > maxDims {
		return nil, fail(CodeShape, "tensor: %d dimensions and %d strides, wanted as many, at most %d",
			len(shape), len(strides), maxDims)
	}
	last, empty := 0, false
	for i, n := range shape {
		if n < 0 || strides[i] < 0 {
			return nil, fail(CodeShape, "tensor: dimension %d is %d with stride %d, wanted 0 or more", i, n, strides[i])
		}
		empty = empty || n == 0
	}
	for i, n := range shape {
		if empty {
			break
		}
		if strides[i] > 0 && n-1 > (len(data)-last)/strides[i] {
			return nil, fail(CodeShape, "tensor: %v with strides %v reaches past a slice of %d elements",
				shape, strides, len(data))
		}
		last += (n - 1) * strides[i]
	}
	if !empty && last >= len(data) {
		return nil, fail(CodeShape, "tensor: %v with strides %v reaches past a slice of %d elements",
			shape, strides, len(data))
	}
	var at unsafe.Pointer
	if len(data) > 0 {
		at = unsafe.Pointer(&data[0])
	}
	if never {
		elsewhere = data
	}
	t := &Tensor{keeps: data}
	t.fill(at, dtypeOf[T](), 1, 0, shape, strides)
	return t, nil
}

// NewDeviceTensor is a view of memory on a CUDA device, which the caller keeps.
func NewDeviceTensor(at unsafe.Pointer, dtype Dtype, device int, shape, strides []int) (*Tensor, error) {
	if len(shape) != len(strides) || len(shape) > maxDims {
		return nil, fail(CodeShape, "tensor: %d dimensions and %d strides, wanted as many, at most %d",
			len(shape), len(strides), maxDims)
	}
	t := &Tensor{}
	t.fill(at, dtype, 2, device, shape, strides)
	return t, nil
}

func (t *Tensor) fill(at unsafe.Pointer, dtype Dtype, kind, device int, shape, strides []int) {
	t.record[1] = int64(uintptr(at))
	t.record[2] = int64(dtype)
	t.record[3] = int64(kind)
	t.record[4] = int64(device)
	t.record[5] = int64(len(shape))
	for i := range shape {
		t.record[6+i] = int64(shape[i])
		t.record[6+maxDims+i] = int64(strides[i])
	}
}

// Shape gives the sizes, outermost first.
func (t *Tensor) Shape() []int64 { return append([]int64(nil), t.record[6:6+t.record[5]]...) }

// Address is where C sees the first element.
func (t *Tensor) Address() uintptr { return uintptr(t.record[1]) }

// list makes the tensors of one call.
type list []int64

func (l list) with(slot native.Enum_SS_flat_slot, t *Tensor) list {
	if t == nil {
		return l
	}
	l = append(l, t.record[:]...)
	l[len(l)-recordLength] = int64(slot)
	return l
}

// of views a slice that a call of this package made.
func of[T Element](data []T, shape ...int) *Tensor {
	t, err := NewTensor(data, shape...)
	if err != nil {
		panic(err) // a bug here
	}
	return t
}

// Package nativemllm is what SWIG makes of bindings/swig/tokenprune_mllm.i; private.
package nativemllm

// #cgo pkg-config: tokenprune-mllm tokenprune
// #cgo CFLAGS: -w -include ${SRCDIR}/names.h
import "C"

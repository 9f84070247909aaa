// Package native is what SWIG makes of bindings/swig; private.
package native

// #cgo pkg-config: tokenprune
// #cgo CFLAGS: -w
import "C"

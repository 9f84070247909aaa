package tokenprune

import (
	"errors"
	"fmt"

	"github.com/tokenprune/tokenprune/bindings/go/internal/native"
)

// Error is a failed call: a code for the program and a line for the person, which names the
// field, the value met and the value wanted.
type Error struct {
	Code    Code
	Message string
}

// Code is one of the codes of tkp_status.
type Code int

// What kind of failure it was.
const (
	CodeArgument    Code = 10 // out of range, or not allowed here
	CodeShape       Code = 11 // dimensions or strides disagree
	CodeDtype       Code = 12 // an element type that is not accepted
	CodeOption      Code = 13 // an option holds an impossible value
	CodeWorkspace   Code = 14 // the workspace is missing or too small
	CodeAlias       Code = 15 // an output overlaps an input
	CodeState       Code = 16 // calls in the wrong order, or on something closed
	CodeUnsupported Code = 20 // legal, but not available; the message says why
	CodeNoBackend   Code = 21 // the backend asked for is not there
	CodeVersion     Code = 22 // a caller, file or module of another version
	CodeMemory      Code = 30 // out of memory
	CodeIO          Code = 31 // a file cannot be read or written
	CodeCancelled   Code = 32 // a callback asked to stop
	CodeDevice      Code = 40 // the device failed
	CodeInternal    Code = 41 // a bug of the library's
	CodeData        Code = 42 // data hold values nothing can be made of (NaN)
	CodeParse       Code = 50 // a policy's text is not well formed
	CodePolicy      Code = 51 // it is well formed, the policy is not
	CodeFormat      Code = 52 // a model or image file is damaged
)

// String gives the constant's name in C, such as TKP_ERR_SHAPE.
func (c Code) String() string { return native.Flat_status_name(int(c)) }

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, &Error{Code: CodeShape}) ask for the code alone.
func (e *Error) Is(target error) bool {
	var other *Error
	return errors.As(target, &other) && other.Message == "" && other.Code == e.Code
}

func fail(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// failure turns what a native call gave into an *Error.
func failure(err error) error {
	if err == nil {
		return nil
	}
	var f *native.Failure
	if errors.As(err, &f) {
		return &Error{Code(f.Code), f.Message}
	}
	return err
}

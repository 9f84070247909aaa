package tokenprune

import (
	"runtime"
	"sync"

	"github.com/tokenprune/tokenprune/bindings/go/internal/native"
)

// object owns something of C's. Calls hold it open; Close waits for none of them: closing what
// is in use is an error.
type object struct {
	mu     sync.RWMutex
	handle int64
	what   string
}

// open takes what a native create call gave. The finalizer is the safety net alone.
func (o *object) open(what string, handle int64) {
	o.what = what
	o.handle = handle
	runtime.SetFinalizer(o, func(o *object) { _ = o.Close() })
}

// enter lets several calls in.
func (o *object) enter() error {
	if !o.mu.TryRLock() {
		return fail(CodeState, "%s: another call works with it", o.what)
	}
	if o.handle == 0 {
		o.mu.RUnlock()
		return fail(CodeState, "%s: is closed", o.what)
	}
	return nil
}

func (o *object) leave() { o.mu.RUnlock() }

// enterAlone lets one call in.
func (o *object) enterAlone() error {
	if !o.mu.TryLock() {
		return fail(CodeState, "%s: another call works with it", o.what)
	}
	if o.handle == 0 {
		o.mu.Unlock()
		return fail(CodeState, "%s: is closed", o.what)
	}
	return nil
}

func (o *object) leaveAlone() { o.mu.Unlock() }

// Close gives the memory back now. Again is fine; while a call works with it, it is an error.
func (o *object) Close() error {
	if !o.mu.TryLock() {
		return fail(CodeState, "%s: another call works with it", o.what)
	}
	defer o.mu.Unlock()
	if o.handle == 0 {
		return nil
	}
	err := failure(native.Flat_destroy(o.handle))
	if err == nil {
		o.handle = 0
		runtime.SetFinalizer(o, nil)
	}
	return err
}

// with runs a call while all of these are open.
func with(call func() error, objects ...*object) error {
	for i, o := range objects {
		if err := o.enter(); err != nil {
			for _, open := range objects[:i] {
				open.leave()
			}
			return err
		}
	}
	err := call()
	for _, o := range objects {
		o.leave()
	}
	return failure(err)
}

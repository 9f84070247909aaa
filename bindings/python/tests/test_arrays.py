"""Arrays in and out: nothing is copied, and what does not fit is refused."""

import array
import gc
import unittest
import weakref

import tokenprune as tkp

try:
    import numpy
except ImportError:
    numpy = None


class Producer:
    """Only DLPack, as PyTorch has it; hands on what `tkp.Array` gives."""

    def __init__(self, inner, device=(1, 0), old=False):
        self.inner, self.device, self.old = inner, device, old
        self.asked = []

    def __dlpack__(self, **words):
        self.asked.append(dict(words))
        if self.old and "max_version" in words:
            raise TypeError("unexpected keyword argument 'max_version'")
        words.pop("stream", None)
        return self.inner.__dlpack__(**words)

    def __dlpack_device__(self):
        return self.device


class In(unittest.TestCase):
    def test_address_seen_by_c__is_the_arrays(self):
        a = array.array("f", range(6))
        dtype, kind, number, shape, strides, address = tkp.describe(a)
        self.assertEqual((dtype, kind, number, shape, strides),
                         ("f32", 1, 0, (6,), (1,)))
        self.assertEqual(address, a.buffer_info()[0])

    @unittest.skipUnless(numpy, "NumPy is not here")
    def test_numpy__strided_views__are_passed_as_they_are(self):
        a = numpy.arange(24, dtype="f2").reshape(4, 6)[1:, ::2]
        self.assertEqual(
            tkp.describe(a), ("f16", 1, 0, (3, 3), (6, 2), a.ctypes.data))
        self.assertEqual(tkp.describe(a.T)[4], (2, 6))
        self.assertEqual(tkp.describe(numpy.zeros(3, bool))[0], "u8")
        frozen = numpy.zeros(3, "i8")
        frozen.flags.writeable = False
        self.assertEqual(tkp.describe(frozen)[0], "i64")

    def test_dlpack__new_and_old_producers__same_address(self):
        inner = tkp.Array((2, 3), "bf16")
        for old in (False, True):
            producer = Producer(inner, old=old)
            self.assertEqual(
                tkp.describe(producer),
                ("bf16", 1, 0, (2, 3), (3, 1), inner.address))
            self.assertEqual(len(producer.asked), 1 + old)

    def test_dlpack__a_cuda_array__keeps_device_and_gets_the_stream(self):
        # The address is a host one, but nobody looks behind it.
        inner = tkp.Array(576, "f32")
        producer = Producer(inner, device=(2, 1))
        tkp.describe(producer)
        self.assertEqual(producer.asked[0]["stream"], 1)

    def test_memory__is_given_back_after_the_call(self):
        inner = tkp.Array(4)
        gone = weakref.finalize(Keeper(inner), lambda: None)
        del inner
        gc.collect()
        self.assertFalse(gone.alive)

    def test_bad_arrays__are_refused_with_the_fix(self):
        cases = [
            (array.array("d", [1.0]), tkp.ArgumentError, "format 'd'"),
            ([1.0, 2.0], tkp.ArgumentError, "is a list, wanted an array"),
            (None, tkp.ArgumentError, "None"),
            (memoryview(bytes(1)).cast("B", [1] * 7), tkp.ArgumentError,
             "7 dimensions"),
            (Producer(object()), AttributeError, "__dlpack__"),
        ]
        for value, error, words in cases:
            with self.subTest(value=value), self.assertRaises(error) as met:
                tkp.describe(value)
            self.assertIn(words, str(met.exception))

    def test_a_capsule_that_is_none__is_refused(self):
        class Broken:
            def __dlpack__(self, **words):
                return 7

            def __dlpack_device__(self):
                return (1, 0)

        with self.assertRaisesRegex(tkp.ArgumentError, "no capsule"):
            tkp.describe(Broken())


class Keeper:
    def __init__(self, value):
        self.value = value


class Out(unittest.TestCase):
    def setUp(self):
        self.context = tkp.Context("ref")
        self.exec = tkp.Exec(self.context)
        self.layout = tkp.Layout()
        self.layout.add_sequence(8)
        self.layout.add_image(1, 2, 3)
        self.selector = tkp.Selector(
            self.context, self.layout, "topk", budget={"count": 2})
        self.scores = array.array("f", [0, 5, 1, 7, 2, 3])

    def test_out__is_written_in_place(self):
        out = array.array("i", [-1, -1])
        self.assertIs(self.selector.run(self.exec, self.scores, out=out), out)
        self.assertEqual(list(out), [1, 3])
        made = self.selector.run(self.exec, self.scores)
        self.assertEqual(made.tolist(), [1, 3])

    def test_out__read_only_or_overlapping__is_refused(self):
        with self.assertRaises(BufferError):
            self.selector.run(self.exec, self.scores, out=bytes(8))
        both = array.array("i", [0] * 6)
        words = memoryview(both).cast("B")
        with self.assertRaises(tkp.ArgumentError):
            self.selector.run(
                self.exec, words.cast("f"), out=words[:8].cast("i"))

    @unittest.skipUnless(numpy, "NumPy is not here")
    def test_a_strided_array__is_refused_by_name(self):
        with self.assertRaisesRegex(tkp.ArgumentError, "scores: .*contiguous"):
            self.selector.run(self.exec, numpy.zeros(12, "f4")[::2])

    def test_arrays_own_their_memory__views_outlive_everything(self):
        made = self.selector.run(self.exec, self.scores)
        view = memoryview(made)
        for thing in (self.selector, self.layout, self.exec, self.context):
            thing.close()
        del made
        gc.collect()
        self.assertEqual(view.tolist(), [1, 3])

    def test_array__shapes_types_and_items(self):
        a = tkp.Array((2, 3), "i32")
        view = memoryview(a)
        view[1, 2] = 7
        self.assertEqual((a.shape, a.dtype, a.nbytes, len(a)), ((2, 3), "i32", 24, 2))
        self.assertEqual(a.tolist(), [[0, 0, 0], [0, 0, 7]])
        self.assertEqual(a[1, 2], 7)
        self.assertEqual(list(tkp.Array(2, "u8")), [0, 0])
        self.assertEqual(tkp.describe(a)[5], a.address)
        self.assertEqual(repr(a), "Array((2, 3), 'i32')")
        self.assertEqual(tkp.Array((0, 4)).tolist(), [])
        with self.assertRaises(BufferError):
            memoryview(tkp.Array(2, "bf16"))
        for shape, dtype in (((-1,), "f32"), ((2 ** 62, 8), "f32"), (2, "f64"),
                             ((1,) * 7, "f32"), ("x", "f32")):
            with self.subTest(shape=shape), self.assertRaises((ValueError, TypeError)):
                tkp.Array(shape, dtype)

    def test_dlpack__only_what_it_is(self):
        a = tkp.Array(2)
        for words in ({"copy": True}, {"stream": 1}, {"dl_device": (2, 0)}):
            with self.subTest(words=words), self.assertRaises(BufferError):
                a.__dlpack__(**words)
        self.assertEqual(a.__dlpack_device__(), (1, 0))

    @unittest.skipUnless(numpy, "NumPy is not here")
    def test_numpy__takes_results_without_a_copy(self):
        a = tkp.Array((2, 3), "f16")
        n = numpy.asarray(a)
        n[:] = [[0.5, -2, 65504], [6e-8, numpy.inf, 1 / 3]]
        self.assertEqual(a.tolist(), n.tolist())
        self.assertEqual(a[0, 1], -2)
        self.assertEqual(n.ctypes.data, a.address)
        d = numpy.from_dlpack(tkp.Array((4, 2), "i64"))
        self.assertEqual((d.shape, str(d.dtype)), ((4, 2), "int64"))


class Torch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            import torch
        except ImportError:
            raise unittest.SkipTest("PyTorch is not here")
        cls.torch = torch

    def test_in__same_address(self):
        for dtype, name in ((self.torch.bfloat16, "bf16"),
                            (self.torch.float32, "f32"),
                            (self.torch.int64, "i64"),
                            (self.torch.bool, "u8")):
            t = self.torch.zeros(3, 4, dtype=dtype)[:, 1:]
            self.assertEqual(
                tkp.describe(t), (name, 1, 0, (3, 3), (4, 1), t.data_ptr()))

    def test_out__same_address(self):
        a = tkp.Array((3, 2), "bf16")
        t = self.torch.from_dlpack(a)
        self.assertEqual((t.data_ptr(), t.dtype), (a.address, self.torch.bfloat16))
        del a
        gc.collect()
        self.assertEqual(float(t.sum()), 0)
        t[1, 1] = -1.5
        b = tkp.Array((3, 2), "bf16")
        self.torch.from_dlpack(b).copy_(t)
        self.assertEqual(b.tolist(), t.tolist())

    def test_weights_of_a_module__are_read(self):
        weight = self.torch.nn.Parameter(self.torch.ones(3))
        self.assertEqual(tkp.describe(weight)[5], weight.data_ptr())

    def test_what_is_no_memory__is_refused(self):
        for t in (self.torch.zeros(3, device="meta"), self.torch.zeros(3).to_sparse(),
                  self.torch.zeros(3, dtype=self.torch.float64)):
            with self.subTest(tensor=t), self.assertRaises((ValueError, BufferError)):
                tkp.describe(t)

    def test_without_the_c_table__same_address(self):
        class Slow:
            def __init__(self, t):
                self.t = t

            def __dlpack__(self, **words):
                return self.t.__dlpack__(**words)

            def __dlpack_device__(self):
                return self.t.__dlpack_device__()

        t = self.torch.zeros(3, 2)[:, :1]
        self.assertEqual(tkp.describe(Slow(t)), tkp.describe(t))

    def test_cuda__same_address_and_device(self):
        if not self.torch.cuda.is_available():
            self.skipTest("no CUDA device is here")
        t = self.torch.zeros(3, device="cuda")
        self.assertEqual(
            tkp.describe(t),
            ("f32", 2, t.device.index or 0, (3,), (1,), t.data_ptr()))


class Jax(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            import jax
            import jax.dlpack  # noqa: F401
        except ImportError:
            raise unittest.SkipTest("JAX is not here")
        cls.jax = jax

    def test_in__same_address(self):
        a = self.jax.numpy.arange(6, dtype="float32").reshape(2, 3)
        self.assertEqual(
            tkp.describe(a),
            ("f32", 1, 0, (2, 3), (3, 1), a.unsafe_buffer_pointer()))
        b = self.jax.numpy.ones(3, "bfloat16")
        self.assertEqual(tkp.describe(b)[::5], ("bf16", b.unsafe_buffer_pointer()))

    def test_out__same_address(self):
        a = tkp.Array((4, 3))
        memoryview(a)[1, 2] = 5
        j = self.jax.dlpack.from_dlpack(a)
        self.assertEqual(j.unsafe_buffer_pointer(), a.address)
        del a
        gc.collect()
        self.assertEqual(float(j.sum()), 5)

    def test_an_immutable_array__is_no_output(self):
        context, layout = tkp.Context("ref"), tkp.Layout()
        layout.add_sequence(8)
        layout.add_image(1, 2, 3)
        selector = tkp.Selector(context, layout, "topk", budget={"count": 2})
        scores = array.array("f", range(6))
        out = self.jax.numpy.zeros(2, "int32")
        with self.assertRaises((tkp.ArgumentError, BufferError)):
            selector.run(tkp.Exec(context), scores, out=out)


if __name__ == "__main__":
    unittest.main()

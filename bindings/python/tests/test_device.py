"""A device whose memory the host cannot reach: the CUDA backend on the machine of
fibers that tests/simt builds. Arrays are handed on, and decisions come back."""

import ctypes
import os
import pathlib
import unittest

import tokenprune as tkp

BINARY = pathlib.Path(os.environ["TKP_BINARY_DIR"])
SIMT = BINARY / "lib" / "simt"
CUDA = 2


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32),
                ("threads", ctypes.c_int32), ("device_type", ctypes.c_int32),
                ("device_id", ctypes.c_int32), ("reserved", ctypes.c_int32),
                ("backends", ctypes.c_char_p), ("backend_dir", ctypes.c_char_p),
                ("log", ctypes.c_void_p), ("log_user", ctypes.c_void_p)]


class Device:
    """Memory there, as another library would have it."""

    def __init__(self):
        maps = pathlib.Path("/proc/self/maps").read_text().splitlines()
        self.c = ctypes.CDLL(next(  # the library that the package has loaded
            line.split()[-1] for line in maps if "/libtokenprune.so" in line))
        self.context, self.exec = ctypes.c_void_p(), ctypes.c_void_p()
        options = Options(backends=b"cuda", backend_dir=os.fsencode(SIMT))
        options.struct_size, options.device_type = ctypes.sizeof(options), CUDA
        assert self.c.tkp_context_create(
            ctypes.byref(self.context), ctypes.byref(options)) == 0
        assert self.c.tkp_exec_create(ctypes.byref(self.exec), self.context, None) == 0

    def put(self, values):
        view = memoryview(values)
        address = ctypes.c_void_p()
        assert self.c.tkp_device_alloc(
            self.context, ctypes.byref(address), ctypes.c_uint64(view.nbytes)) == 0
        if not view.readonly:
            raw = (ctypes.c_char * view.nbytes).from_buffer(view)
            assert self.c.tkp_device_upload(
                self.exec, address, raw, ctypes.c_uint64(view.nbytes)) == 0
        return There(self, address.value, view.shape, view.format)

    def get(self, there):
        out = bytearray(there.nbytes)
        raw = (ctypes.c_char * len(out)).from_buffer(out)
        assert self.c.tkp_device_download(
            self.exec, raw, ctypes.c_void_p(there.address),
            ctypes.c_uint64(len(out))) == 0
        return memoryview(out).cast(there.format, list(there.shape))


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32),
                ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.c_void_p), ("byte_offset", ctypes.c_uint64)]


class Managed(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("owner", ctypes.c_void_p),
                ("deleter", ctypes.c_void_p)]


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class There:
    """An array on the device; DLPack is all that it has."""

    def __init__(self, device, address, shape, format):
        self.device, self.address, self.format = device, address, format
        self.shape = tuple(shape)
        self.streams = []
        count = 1
        for n in self.shape:
            count *= n
        self.nbytes = 4 * count
        self.sizes = (ctypes.c_int64 * len(self.shape))(*self.shape)
        self.managed = Managed(DLTensor(
            address, CUDA, 0, len(self.shape), 2 if format == "f" else 0, 32, 1,
            self.sizes, None, 0), None, None)

    def __dlpack__(self, stream=None):
        self.streams.append(stream)
        return new_capsule(ctypes.addressof(self.managed), b"dltensor", None)

    def __dlpack_device__(self):
        return (CUDA, 0)


def numbers(*shape):
    count = 1
    for n in shape:
        count *= n
    values = bytearray(4 * count)
    view = memoryview(values).cast("f", list(shape))
    flat = memoryview(values).cast("f")
    for i in range(count):
        flat[i] = (i * 7919 % 101) / 101 - 0.5
    return view


@unittest.skipUnless(
    (SIMT / "libtokenprune-cuda.so").exists(), "tests/simt is not built")
class OnADevice(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.device = Device()
        cls.context = tkp.Context("cuda", device="cuda", backend_dir=str(SIMT))

    def run_on(self, context, stream, q, k, hidden, out):
        layout = tkp.Layout()
        layout.add_sequence(47)
        layout.add_image(1, 6, 6)
        model = tkp.ModelShape(
            layers=8, heads=4, kv_heads=2, head_dim=6, hidden=12)
        policy = tkp.Policy.preset("fastv").with_budget({"count": 9})
        with tkp.Exec(context, stream=stream) as exec_:
            sequence = tkp.Sequence(exec_)
            sequence.begin(policy, layout, model)
            for _ in sequence:
                decision = sequence.prune(q=q, k=k)
                decision.gather(hidden, out)
                read = (decision.indices.tolist(), decision.positions.tolist())
            self.assertGreater(exec_.workspace_bytes, 0)
        return read

    def test_a_cut__as_on_the_host(self):
        q, k, hidden = numbers(47, 4, 6), numbers(47, 2, 6), numbers(47, 12)
        out = tkp.Array((20, 12))
        want = self.run_on(tkp.Context("ref"), 0, q, k, hidden, out)
        put = self.device.put
        there = [put(q), put(k), put(hidden), put(numbers(20, 12))]
        self.assertEqual(tkp.describe(there[0]), (
            "f32", CUDA, 0, (47, 4, 6), (24, 6, 1), there[0].address))
        self.assertEqual(self.run_on(self.context, 0, *there), want)
        self.assertEqual(self.device.get(there[3]).tolist(), out.tolist())
        self.assertEqual(set(there[0].streams), {1})  # CUDA's default stream

    def test_arrays_of_the_other_side__refused(self):
        q, k, hidden = numbers(47, 4, 6), numbers(47, 2, 6), numbers(47, 12)
        with self.assertRaisesRegex(tkp.ArgumentError, "lies on the host"):
            self.run_on(self.context, 0, q, k, hidden, None)
        with self.assertRaisesRegex(tkp.ArgumentError, "device 2:0"):
            self.run_on(tkp.Context("ref"), 0, self.device.put(q), k, hidden, None)

    def test_a_workspace_that_is_lent__on_the_right_device(self):
        exec_ = tkp.Exec(self.context)
        with self.assertRaisesRegex(tkp.ArgumentError, "lies on device 1:0"):
            exec_.lend(bytearray(4096))
        exec_.reserve(1 << 16)
        self.assertEqual(exec_.workspace_bytes, 1 << 16)

    def test_a_scorer_in_python__decides_there_too(self):
        tkp.register_scorer("device-own", lambda batch, inputs: range(36))
        self.addCleanup(tkp.unregister_scorer, "device-own")
        layout = tkp.Layout()
        layout.add_sequence(47)
        layout.add_image(1, 6, 6)
        policy = tkp.Policy("own", [{
            "at": "llm:1", "scorer": {"kind": "custom", "custom": "device-own"},
            "selector": "topk", "budget": {"count": 3}}])
        with tkp.Sequence(tkp.Exec(self.context)) as sequence:
            sequence.begin(policy, layout, tkp.ModelShape(
                layers=8, heads=4, head_dim=6, hidden=12))
            sequence.next()
            sequence.prune()
            self.assertEqual(sequence.kept_cells(0).tolist(), [33, 34, 35])


if __name__ == "__main__":
    unittest.main()

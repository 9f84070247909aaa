"""Contexts, execs, layouts and the shapes of models."""

from __future__ import annotations

from typing import Any, Optional, Sequence as Seq

from . import _flat, flat
from ._flat import Array, Object

DTYPES = {
    "f32": flat.TKP_DTYPE_F32,
    "f16": flat.TKP_DTYPE_F16,
    "bf16": flat.TKP_DTYPE_BF16,
    "i32": flat.TKP_DTYPE_I32,
    "i64": flat.TKP_DTYPE_I64,
    "u8": flat.TKP_DTYPE_U8,
}
DTYPE_NAMES = {number: name for name, number in DTYPES.items()}


def dtype_number(dtype: Any, what: str = "dtype") -> int:
    """``"f32"`` or anything whose text ends in a name such as ``bfloat16``."""
    longer = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
    name = str(dtype).rsplit(".", 1)[-1]
    name = longer.get(name, name)
    if name not in DTYPES:
        raise ValueError(
            f"{what}: is {dtype!r}, wanted one of {', '.join(DTYPES)}")
    return DTYPES[name]


def _device(text: str) -> tuple[int, int]:
    kind, _, number = text.partition(":")
    kinds = {"cpu": flat.TKP_DEVICE_CPU, "cuda": flat.TKP_DEVICE_CUDA}
    if kind not in kinds or (number and not number.isdigit()):
        raise ValueError(f"device: is {text!r}, wanted 'cpu', 'cuda' or 'cuda:1'")
    return kinds[kind], int(number or 0)


class Context(Object):
    """What a process shares: the device, its backends, the thread count.

    :param backends: names, best first, such as ``"cpu,ref"``; None: all that
        can run here
    :param threads: threads inside an operation; 0: one
    :param device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``
    :param backend_dir: where modules lie; None: beside the library

    May be used by any number of threads.
    """

    def __init__(
        self,
        backends: Optional[str] = None,
        *,
        threads: int = 0,
        device: str = "cpu",
        backend_dir: Optional[str] = None,
    ) -> None:
        self._adopt(_flat.flat_context_create(
            backends or "", backend_dir or "", threads, *_device(device)))

    @property
    def backends(self) -> list[str]:
        """Names of the backends in order of preference."""
        return [
            _flat.flat_context_backend_name(self, i)
            for i in range(_flat.flat_context_backend_count(self))
        ]

    @property
    def backend_info(self) -> dict[str, str]:
        """What each backend says of itself: versions, instruction sets."""
        return {
            name: _flat.flat_context_backend_info(self, i)
            for i, name in enumerate(self.backends)
        }

    @property
    def threads(self) -> int:
        return _flat.flat_context_threads(self)


class Exec(Object):
    """What one thread, or one CUDA stream, owns: workspace and handles.

    :param stream: the ``cudaStream_t`` as a number (PyTorch's
        ``stream.cuda_stream``); 0 on the CPU
    :param workspace: bytes (u8) on the context's device, kept alive by this
        object; None: memory of its own, which grows to what a call wants

    One thread at a time: a second one is refused with :class:`StateError`.
    """

    def __init__(
        self, context: Context, *, stream: int = 0, workspace: Any = None
    ) -> None:
        self.context = context
        self._adopt(_flat.flat_exec_create(context, stream))
        if workspace is not None:
            self.lend(workspace)

    def lend(self, workspace: Any) -> None:
        """Use this memory from now on; it is kept alive."""
        _flat.flat_exec_lend(self, (flat.FLAT_WORKSPACE, workspace))
        self._workspace = workspace

    def reserve(self, nbytes: int) -> None:
        """Make room beforehand, so that no later call allocates."""
        _flat.flat_exec_reserve(self, nbytes)

    @property
    def workspace_bytes(self) -> int:
        return _flat.flat_exec_bytes(self)


class Layout(Object):
    """A batch before pruning: lengths, images, positions.

    Sequences are packed one after the other. The layout may be filled until
    something uses it; after that it is frozen::

        layout = Layout()
        layout.add_sequence(622)
        layout.add_image(start=35, rows=24, cols=24)
    """

    def __init__(self) -> None:
        self._adopt(_flat.flat_layout_create())

    def add_sequence(
        self, length: int, *, text: tuple[int, int] = (0, 0), id: int = 0
    ) -> int:
        """Add a prompt of so many tokens.

        :param text: begin and end of the text that guides the pruning; (0, 0):
            every token
        :param id: names the sequence to the random generator
        :return: its number in the batch
        """
        return _flat.flat_layout_add_sequence(self, id, length, *text)

    def add_image(
        self,
        start: int,
        rows: int,
        cols: int,
        *,
        sequence: Optional[int] = None,
        frames: int = 1,
        row_stride: int = 0,
        valid: Any = None,
        keep: Any = None,
        tile: Seq[int] = (0, 0, 0, 0),
    ) -> int:
        """Add an image (or video) to a sequence.

        :param start: its first visual token, counted in the sequence
        :param sequence: None: the last that was added
        :param row_stride: tokens from one grid row to the next; 0: ``cols``
        :param valid: u8 [frames * rows * cols], 0 = padding; None: all valid
        :param keep: the same shape, 1 = always kept; None: none
        :param tile: height, width, top, left of tiles (tkp_image_desc)
        :return: its number in the batch
        """
        if sequence is None:
            sequence = self.sequences - 1
        return _flat.flat_layout_add_image(
            self, sequence, start, frames, rows, cols, row_stride, *tile,
            (flat.FLAT_VALID, valid, flat.FLAT_KEEP, keep))

    def set_positions(self, positions: Any) -> None:
        """Rotary positions of all rows, i32: [R], or [3, R] for M-RoPE."""
        _flat.flat_layout_set_positions(self, (flat.FLAT_POSITIONS, positions))

    @property
    def sequences(self) -> int:
        return _flat.flat_layout_sequences(self)

    @property
    def images(self) -> int:
        return _flat.flat_layout_images(self)

    @property
    def rows(self) -> int:
        return _flat.flat_layout_rows(self)

    def visual_tokens(self, sequence: int = 0) -> int:
        """Candidates of a sequence; -1 outside the batch."""
        return _flat.flat_layout_visual_tokens(self, sequence)


class ModelShape(flat.tkp_model_desc):
    """Shapes of the language model, by the names of ``tkp_model_desc``::

        ModelShape(dtype="bf16", layers=32, heads=32, hidden=4096,
                   intermediate=11008)

    What is not given is 0, "not known". An unknown name is a TypeError.
    """

    def __init__(self, *, dtype: Any = "f32", kv_dtype: Any = None, **sizes: Any):
        super().__init__()
        self.dtype = dtype_number(dtype)
        if kv_dtype is not None:
            self.kv_dtype = dtype_number(kv_dtype, "kv_dtype")
        for name, value in sizes.items():
            if name.startswith("_") or not isinstance(
                    getattr(flat.tkp_model_desc, name, None), property):
                raise TypeError(f"ModelShape has no field {name!r}")
            setattr(self, name, value)


__all__ = ["Array", "Context", "Exec", "Layout", "ModelShape"]

"""Visual-token pruning for multimodal language models.

The engine's side is :class:`Sequence`; what it runs is a :class:`Policy`. Arrays
of NumPy, PyTorch, JAX and whatever else has the buffer protocol or DLPack go in
without a copy; results are :class:`Array`, which those take without one.
``tokenprune.mllm`` is the reference model, from a checkpoint to an answer.
"""

from ._context import Array, Context, Exec, Layout, ModelShape
from ._errors import (
    ArgumentError,
    Cancelled,
    DataError,
    Error,
    FileError,
    FormatError,
    NativeError,
    OutOfMemoryError,
    PolicyError,
    StateError,
    UnsupportedError,
)
from ._flat import tkpy_build_info as build_info
from ._flat import tkpy_version as _version
from ._parts import (
    Merger,
    Scorer,
    Selector,
    describe,
    register_scorer,
    unregister_scorer,
)
from ._policy import Budget, Point, Policy, PolicyInfo, presets
from ._sequence import Decision, Report, Sequence

#: Version of the native library that is loaded.
__version__: str = _version()

__all__ = [
    "ArgumentError", "Array", "Budget", "Cancelled", "Context", "DataError",
    "Decision", "Error", "Exec", "FileError", "FormatError", "Layout", "Merger",
    "ModelShape", "NativeError", "OutOfMemoryError", "Point", "Policy",
    "PolicyError", "PolicyInfo", "Report", "Scorer", "Selector", "Sequence",
    "StateError", "UnsupportedError", "build_info", "describe", "presets",
    "register_scorer", "unregister_scorer",
]

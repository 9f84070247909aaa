"""The reference model: a Hugging Face directory, pictures and a question to an
answer, pruned by a policy::

    from tokenprune.mllm import Engine

    with Engine("llava-1.5-7b-hf") as engine:
        answer = engine.run("What is this?", images=["cat.jpg"], policy="fastv")
        print(answer.text, answer.report.visual_after)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple, Optional, Sequence as Seq, Union

from . import _flat_mllm as _native
from . import flat, flat_mllm
from ._context import Context, dtype_number
from ._context import DTYPE_NAMES
from ._flat import Array, Object
from ._policy import Policy
from ._sequence import Report, report_of

Path = Union[str, "os.PathLike[str]"]
_FORMATS = {
    "model": flat_mllm.TKP_MLLM_FORMAT_MODEL,
    "raw": flat_mllm.TKP_MLLM_FORMAT_RAW,
    "vicuna-v1": flat_mllm.TKP_MLLM_FORMAT_VICUNA_V1,
}
_TILINGS = {
    "transformers": flat_mllm.TKP_MLLM_TILING_TRANSFORMERS,
    "original": flat_mllm.TKP_MLLM_TILING_ORIGINAL,
    "fixed": flat_mllm.TKP_MLLM_TILING_FIXED,
    "flat": flat_mllm.TKP_MLLM_TILING_FLAT,
}


def _choice(what: str, value: str, table: dict[str, int]) -> int:
    if value not in table:
        raise ValueError(f"{what}: is {value!r}, wanted one of {', '.join(table)}")
    return table[value]


@dataclass
class Video:
    """Pictures of one size, in order."""

    frames: Seq[Path]
    fps: float = 0.0  #: frames a second that they are; 0: look at all


@dataclass
class Request:
    """One prompt of a batch."""

    prompt: str
    images: Seq[Path] = ()
    videos: Seq[Video] = ()
    system: str = ""
    format: str = "model"  #: model, raw or vicuna-v1
    id: int = 0  #: names it to the random generator


class Times(NamedTuple):
    """Seconds of a batch by part."""

    load_images: float
    vision: float
    prefill: float
    pruning: float
    decode: float
    decode_steps: int


class Picture(NamedTuple):
    """A picture as the model saw it, with its grid of visual tokens."""

    rgb: Array  #: [height, width, 3] u8
    rows: int
    cols: int
    kept: Array  #: cells that were kept, i32, ascending


@dataclass
class Answer:
    """The answer to one request, and what its batch cost."""

    text: str
    tokens: list[int]
    report: Optional[Report]  #: None if it was stopped before that
    times: Times
    stopped: bool
    pictures: list[Picture] = field(default_factory=list)


class Engine(Object):
    """A loaded model; may be used by several threads.

    :param directory: of a Hugging Face checkpoint
    :param dtype: of the activations: "f32" or "bf16"; None: as the weights
    :param tiling: LLaVA-NeXT: transformers, original, fixed or flat
    """

    def __init__(
        self,
        directory: Path,
        context: Optional[Context] = None,
        *,
        dtype: Optional[str] = None,
        tiling: str = "transformers",
        max_pixels: int = 0,
    ) -> None:
        self.context = context or Context()
        self._adopt(_native.flat_mllm_load(
            self.context, os.fsencode(directory),
            dtype_number(dtype) if dtype else 0, 0,
            _choice("tiling", tiling, _TILINGS), max_pixels))

    @property
    def info(self) -> dict[str, Any]:
        """Shapes and sizes, by the names of ``tkp_mllm_info``."""
        raw = flat_mllm.tkp_mllm_info()
        _native.flat_mllm_get_info(self, raw)
        fields = {
            name: getattr(raw, name)
            for name, what in vars(flat_mllm.tkp_mllm_info).items()
            if isinstance(what, property)
            and name not in ("thisown", "struct_size")
        }
        for name in ("dtype", "weight_dtype"):
            fields[name] = DTYPE_NAMES.get(fields[name], fields[name])
        return fields

    def run(
        self,
        prompt: str,
        images: Seq[Path] = (),
        *,
        videos: Seq[Video] = (),
        policy: Union[Policy, str, None] = None,
        system: str = "",
        format: str = "model",
        **options: Any,
    ) -> Answer:
        """Answer one prompt; options as of :meth:`generate`."""
        request = Request(prompt, images, videos, system, format)
        return self.generate([request], policy=policy, **options)[0]

    def generate(
        self,
        requests: Seq[Request],
        *,
        policy: Union[Policy, str, None] = None,
        scores: Any = None,
        on_text: Optional[Callable[[int, str], Any]] = None,
        pictures: bool = False,
        **options: Any,
    ) -> list[Answer]:
        """Answer a batch of prompts.

        :param policy: a Policy or the name of a preset; None: no pruning
        :param scores: f32 [N], for policies with external scores
        :param on_text: called with request and text as it becomes certain; a
            true answer stops
        :param pictures: fill :attr:`Answer.pictures`
        :param options: fields of ``tkp_mllm_generate_options``:
            max_new_tokens, do_sample, top_k, temperature, top_p, seed, ...

        Runs without the GIL; Ctrl-C stops it.
        """
        raw = flat_mllm.tkp_mllm_generate_options()
        for name, value in options.items():
            if name.startswith("_") or not isinstance(
                    getattr(flat_mllm.tkp_mllm_generate_options, name, None),
                    property):
                raise TypeError(f"generate() has no option {name!r}")
            setattr(raw, name, value)
        if isinstance(policy, str):
            policy = Policy.preset(policy)
        batch = _Requests(requests)
        result = Object()
        result._adopt(_native.tkpy_generate(
            self, batch, policy, raw, on_text, (flat.FLAT_SCORES, scores)))
        return [
            _answer(result, i, pictures) for i in range(len(requests))
        ]


class _Requests(Object):
    def __init__(self, requests: Seq[Request]) -> None:
        self._adopt(_native.flat_requests_create())
        for request in requests:
            _native.flat_requests_add(
                self, request.prompt, request.system,
                _choice("format", request.format, _FORMATS), request.id)
            for path in request.images:
                _native.flat_requests_add_image(self, os.fsencode(path))
            for video in request.videos:
                _native.flat_requests_add_video(self, video.fps)
                for path in video.frames:
                    _native.flat_requests_add_frame(self, os.fsencode(path))


def _list(ask: Callable[..., int], *where: Any) -> Array:
    """A list of i32 that a native call counts first, then fills."""
    out = Array(ask(*where, ()), "i32")
    ask(*where, (flat.FLAT_OUT_DATA, out))
    return out


def _picture(result: Object, i: int, image: int) -> Picture:
    height, width, rows, cols = _native.flat_result_image(result, i, image, ())
    rgb = Array((height, width, 3), "u8")
    _native.flat_result_image(result, i, image, (flat.FLAT_OUT_DATA, rgb))
    return Picture(
        rgb, rows, cols, _list(_native.flat_result_kept_cells, result, i, image))


def _answer(result: Object, i: int, pictures: bool) -> Answer:
    times = flat_mllm.tkp_mllm_times()
    _native.flat_result_times(result, times)
    stopped = bool(_native.flat_result_stopped(result))
    count = _native.flat_result_images(result, i)
    return Answer(
        text=_native.flat_result_text(result, i),
        tokens=_list(_native.flat_result_tokens, result, i).tolist(),
        report=_report(result, stopped),
        times=Times(*(getattr(times, name) for name in Times._fields)),
        stopped=stopped,
        pictures=[_picture(result, i, j) for j in range(count)]
        if pictures else [])


def _report(result: Object, stopped: bool) -> Optional[Report]:
    try:
        return report_of(_native.flat_result_report, result)
    except RuntimeError:
        if stopped:  # before the prefill was done
            return None
        raise

"""Policies and budgets; what they say is docs/policies.md."""

from __future__ import annotations

import json
import os
import re
from fractions import Fraction
from typing import Any, Mapping, NamedTuple, Optional, Union

from . import _flat, flat
from ._flat import Object

NEEDS = {
    name[len("TKP_NEED_"):].lower(): getattr(flat, name)
    for name in dir(flat) if name.startswith("TKP_NEED_")
}
FLAGS = {
    name[len("TKP_POLICY_"):].lower(): getattr(flat, name)
    for name in dir(flat)
    if name.startswith("TKP_POLICY_") and not name.startswith("TKP_POLICY_MAX")
}
POINTS = {
    name[len("TKP_POINT_"):].lower().replace("_", "-"): getattr(flat, name)
    for name in dir(flat) if name.startswith("TKP_POINT_")
}
POINT_NAMES = {number: name for name, number in POINTS.items()}


def names_of(bits: int, table: Mapping[str, int]) -> frozenset[str]:
    return frozenset(name for name, bit in table.items() if bits & bit)


_WORD = re.compile(r"[A-Za-z0-9_.+-][A-Za-z0-9_./:+-]*")


def flow(value: Any) -> str:
    """Options as the text in braces that the library reads; "" for None.

    Words stay without quotation marks: a policy's numbers and ratios are words.
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else _flow(value)


def _flow(value: Any) -> str:
    if isinstance(value, Budget):
        value = value.options
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        return text if "e" not in text else f"{value:.40f}".rstrip("0") + "0"
    if isinstance(value, (int, Fraction)):
        return str(value)
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(
            f"{_flow(str(k))}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    raise TypeError(
        f"met a {type(value).__name__}, wanted numbers, texts, lists and dicts")


def options_of(kind: Union[str, Mapping[str, Any]], options: Mapping[str, Any]) -> Any:
    """A kind with its options as one dict; a dict or text may have them in it."""
    if isinstance(kind, Mapping):
        return {**kind, **options}
    return {"kind": kind, **options} if options else kind


class Budget:
    """How many visual tokens stay::

        Budget(count=64)
        Budget(ratio="1/4", scope="image")
        Budget(ratio=Fraction(2, 9), label="equiv-in")

    The names are those of a policy file (docs/policies.md, "Budget").
    """

    def __init__(self, **options: Any) -> None:
        self.options = options or {"all": True}

    def resolve(self, n: int, *, boundary: int = 0, layers: int = 0) -> int:
        """Tokens kept of ``n`` by a cut before a layer; exact integers."""
        return _flat.flat_budget_resolve(flow(self), n, boundary, layers)

    def __repr__(self) -> str:
        words = ", ".join(f"{k}={v!r}" for k, v in self.options.items())
        return f"Budget({words})"


class Point(NamedTuple):
    """Where the next cut is, and what it wants."""

    kind: str  #: projector, llm, vision, vision-mlp or kv
    stage: int  #: number of the stage in the policy
    boundary: int  #: llm: layers that run before the cut
    score_layer: int  #: whose q and k are wanted; -1: none
    needs: frozenset[str]  #: names of the inputs, "attention" for q and k
    rows_in: int
    rows_out: int  #: known beforehand; the most, where the data decide
    query_rows: int
    kv_begin: int
    kv_end: int


def point_of(raw: Any) -> Point:
    """A point that the native layer filled in."""
    return Point(
        POINT_NAMES[raw.kind], raw.stage, raw.boundary, raw.score_layer,
        names_of(raw.needs, NEEDS), raw.rows_in, raw.rows_out, raw.query_rows,
        raw.kv_begin, raw.kv_end)


class PolicyInfo(NamedTuple):
    """What an engine can ask of a policy before it runs anything."""

    needs: frozenset[str]
    flags: frozenset[str]
    last_boundary: int
    cls_layer: int
    cls_logits: bool
    shallow_layer: int
    shallow_logits: bool


class Policy(Object):
    """A named list of stages: where to cut, and how. Immutable.

    From Python's own data, from YAML (:meth:`from_yaml`, :meth:`load`) or by
    name (:meth:`preset`)::

        Policy("mine", [{"at": "llm:2", "scorer": "attention",
                         "selector": "topk", "budget": {"ratio": "1/4"}}])
    """

    def __init__(self, name: str, stages: list[Mapping[str, Any]]) -> None:
        text = _flow({"tokenprune": 1, "name": name, "stages": stages})
        self._adopt(_flat.flat_policy_load_text(text, name))

    @classmethod
    def _of(cls, handle: int) -> "Policy":
        self = cls.__new__(cls)
        self._adopt(handle)
        return self

    @classmethod
    def preset(cls, name: str) -> "Policy":
        """A published method; :func:`presets` lists them."""
        return cls._of(_flat.flat_policy_load_preset(name))

    @classmethod
    def from_yaml(cls, text: Union[str, bytes], source: Optional[str] = None) -> "Policy":
        """Read YAML; ``source`` stands for the file's name in messages."""
        return cls._of(_flat.flat_policy_load_text(text, source or ""))

    @classmethod
    def load(cls, path: Union[str, os.PathLike]) -> "Policy":
        """Read a YAML file."""
        return cls._of(_flat.flat_policy_load_file(os.fsencode(path)))

    @property
    def name(self) -> str:
        return _flat.flat_policy_name(self)

    def __len__(self) -> int:
        """How many stages there are."""
        return _flat.flat_policy_stage_count(self)

    def __bool__(self) -> bool:
        return True

    def to_yaml(self) -> str:
        """YAML with every default written out; reading it gives the same."""
        return _flat.flat_policy_yaml(self)

    @property
    def info(self) -> PolicyInfo:
        raw = flat.tkp_policy_info()
        _flat.flat_policy_query(self, raw)
        return PolicyInfo(
            names_of(raw.needs, NEEDS), names_of(raw.flags, FLAGS),
            raw.last_boundary, raw.cls_layer, bool(raw.cls_logits),
            raw.shallow_layer, bool(raw.shallow_logits))

    @property
    def points(self) -> list[Point]:
        """What each stage will ask for, before anything runs; counts of rows
        are 0, for they follow from the batch."""
        out = []
        for stage in range(len(self)):
            raw = flat.tkp_point()
            _flat.flat_policy_get_point(self, stage, raw)
            out.append(point_of(raw))
        return out

    def with_budget(
        self, budget: Union[Budget, Mapping[str, Any], str], stage: int = -1
    ) -> "Policy":
        """A copy with one stage's budget changed; -1: of the only one."""
        return self._of(
            _flat.flat_policy_with_budget(self, stage, flow(budget)))

    def with_point(self, at: str, stage: int = -1) -> "Policy":
        """A copy with a stage moved: ``"projector"``, ``"llm:8"``, ``"kv"``."""
        kind, _, boundary = at.partition(":")
        if kind not in POINTS or (boundary and not boundary.isdigit()):
            raise ValueError(
                f"at: is {at!r}, wanted projector, llm:N, vision:N, "
                "vision-mlp:N or kv")
        return self._of(_flat.flat_policy_with_point(
            self, stage, POINTS[kind], int(boundary or 0)))

    def with_depth(
        self, from_layers: int, layers: int, from_blocks: int = 0, blocks: int = 0
    ) -> "Policy":
        """A copy for a model of another depth than it was made for."""
        return self._of(_flat.flat_policy_with_depth(
            self, from_layers, layers, from_blocks, blocks))

    def with_seed(self, seed: int) -> "Policy":
        """A copy in which every random selector draws from this seed."""
        if not 0 <= seed < 2 ** 64:
            raise ValueError(f"seed: is {seed}, wanted 0 to 2**64 - 1")
        signed = seed - 2 ** 64 if seed >= 2 ** 63 else seed
        return self._of(_flat.flat_policy_with_seed(self, signed))

    def __repr__(self) -> str:
        return "<Policy, closed>" if self.closed else f"<Policy {self.name!r}>"


def presets() -> dict[str, str]:
    """Names of the built-in policies, each with a line about it."""
    return {
        _flat.tkpy_preset_name(i): _flat.tkpy_preset_summary(i)
        for i in range(_flat.tkpy_preset_count())
    }

"""Scorers, selectors and mergers by themselves, and scorers in Python."""

from __future__ import annotations

import array
import atexit
from typing import Any, Callable, Iterable, Mapping, Optional, Union

from . import _flat, flat
from ._context import Context, Exec, Layout, ModelShape
from ._errors import StateError
from ._flat import Array, Object
from ._policy import NEEDS, Budget, Policy, flow, names_of, options_of

Kind = Union[str, Mapping[str, Any]]

# Inputs by the names of tkp_inputs.
SLOTS = {_flat.flat_slot_name(slot): slot for slot in range(flat.FLAT_INPUTS)}


def pairs_of(inputs: Mapping[str, Any]) -> tuple:
    """Named inputs as the native layer wants them: (slot, array, ...)."""
    pairs: list = []
    for name, value in inputs.items():
        slot = SLOTS.get(name)
        if slot is None:
            raise TypeError(
                f"no input {name!r}, wanted some of {', '.join(SLOTS)}")
        pairs += (slot, value)
    return tuple(pairs)


class Scorer(Object):
    """Gives each visual token of a batch one number; higher is kept.

    :param kind: a kind of docs/policies.md, or a dict of kind and options
    :param options: its options, by the names of a policy file::

        Scorer(context, layout, model, "attention", query="last")
    """

    def __init__(
        self,
        context: Context,
        layout: Layout,
        model: ModelShape,
        kind: Kind,
        **options: Any,
    ) -> None:
        self._tokens = _candidates(layout)
        self._adopt(_flat.flat_scorer_create(
            context, flow(options_of(kind, options)), layout, model))

    @classmethod
    def of(
        cls,
        policy: Policy,
        stage: int,
        context: Context,
        layout: Layout,
        model: ModelShape,
    ) -> "Scorer":
        """The scorer of a policy's stage."""
        self = cls.__new__(cls)
        self._tokens = _candidates(layout)
        self._adopt(_flat.flat_scorer_create_of(
            context, policy, stage, layout, model))
        return self

    @property
    def needs(self) -> frozenset[str]:
        """Inputs that :meth:`run` must be given."""
        return names_of(_flat.flat_needs(self), NEEDS)

    @property
    def workspace_bytes(self) -> int:
        return _flat.flat_workspace_bytes(self)

    def query_rows(self) -> Array:
        """Rows of the batch whose q is wanted, i32."""
        rows = Array(_flat.flat_scorer_query_rows(self, ()), "i32")
        _flat.flat_scorer_query_rows(self, (flat.FLAT_OUT_ROWS, rows))
        return rows

    def run(self, exec: Exec, *, out: Any = None, **inputs: Any) -> Any:
        """Scores [N] f32 of all visual tokens, in ``out`` or a new Array."""
        if out is None:
            out = Array(self._tokens, "f32")
        _flat.flat_scorer_run(
            self, exec, (flat.FLAT_OUT_SCORES, out, *pairs_of(inputs)))
        return out


class Selector(Object):
    """Turns scores and a budget into kept tokens.

    :param budget: :class:`Budget`, dict or text; None: everything
    :param model: for kinds that look at more than scores
    """

    def __init__(
        self,
        context: Context,
        layout: Layout,
        kind: Kind,
        *,
        budget: Union[Budget, Mapping[str, Any], str, None] = None,
        model: Optional[ModelShape] = None,
        **options: Any,
    ) -> None:
        self._texts: Optional[tuple[str, str]] = (
            flow(options_of(kind, options)), flow(budget))
        self._adopt(_flat.flat_selector_create(
            context, *self._texts, layout, model))
        self._count(layout)

    @classmethod
    def of(
        cls,
        policy: Policy,
        stage: int,
        context: Context,
        layout: Layout,
        model: Optional[ModelShape] = None,
    ) -> "Selector":
        """The selector of a policy's stage, with its budget."""
        self = cls.__new__(cls)
        self._texts = None
        self._adopt(_flat.flat_selector_create_of(
            context, policy, stage, layout, model))
        self._count(layout)
        return self

    def _count(self, layout: Layout) -> None:
        self._tokens = _candidates(layout)
        self._sequences = layout.sequences
        self._kept = sum(self.count(b) for b in range(self._sequences))

    def count(self, sequence: int = 0) -> int:
        """Tokens kept of a sequence (the most, where the data decide)."""
        return _flat.flat_selector_count(self, sequence)

    @property
    def needs(self) -> frozenset[str]:
        """Inputs that :meth:`run` must be given, beside scores."""
        return names_of(_flat.flat_needs(self), NEEDS)

    @property
    def workspace_bytes(self) -> int:
        return _flat.flat_workspace_bytes(self)

    def run(
        self,
        exec: Exec,
        scores: Any = None,
        *,
        out: Any = None,
        offsets: Any = None,
        roles: Any = None,
        pools: Any = None,
        **inputs: Any,
    ) -> Any:
        """Kept tokens [K] i32, ascending in each sequence.

        :param out: written in place of a new Array
        :param offsets: i32 [B + 1], filled with where sequences begin
        :param roles: i32 [K], the part of a chain that chose each
        :param pools: i32 [N], which parts could have chosen each
        """
        if out is None:
            out = Array(self._kept, "i32")
        _flat.flat_selector_run(self, exec, (
            flat.FLAT_SCORES, scores, flat.FLAT_OUT_INDICES, out,
            flat.FLAT_OUT_OFFSETS, offsets, flat.FLAT_OUT_ROLES, roles,
            flat.FLAT_OUT_POOLS, pools, *pairs_of(inputs)))
        return out


class Merger(Object):
    """Says where the content of dropped tokens goes."""

    def __init__(
        self,
        context: Context,
        selector: Selector,
        model: ModelShape,
        kind: Kind,
        **options: Any,
    ) -> None:
        if selector._texts is None:
            raise ValueError(
                "selector: is of a policy, wanted Merger.of() for its merger")
        self._width = model.hidden
        self._adopt(_flat.flat_merger_create(
            context, flow(options_of(kind, options)), selector,
            *selector._texts, model))

    @classmethod
    def of(
        cls,
        policy: Policy,
        stage: int,
        context: Context,
        selector: Selector,
        model: ModelShape,
    ) -> "Merger":
        """The merger of a policy's stage."""
        self = cls.__new__(cls)
        self._width = model.hidden
        self._adopt(_flat.flat_merger_create_of(
            context, policy, stage, selector, model))
        return self

    @property
    def workspace_bytes(self) -> int:
        return _flat.flat_workspace_bytes(self)

    def run(
        self,
        exec: Exec,
        kept: Any,
        *,
        out: Any = None,
        sizes: Any = None,
        assignment: Any = None,
        **inputs: Any,
    ) -> Any:
        """The new rows [K, D] of kept tokens, in the dtype of ``hidden``.

        :param sizes: f32 [K], filled with how many tokens each stands for
        :param assignment: i32 [N], filled with where each token went
        """
        if out is None:
            if inputs.get("hidden") is None:
                raise TypeError("run() wants the input 'hidden'")
            dtype = describe(inputs["hidden"])[0]
            out = Array((describe(kept)[3][0], self._width), dtype)
        _flat.flat_merger_run(self, exec, (
            flat.FLAT_KEPT, kept, flat.FLAT_OUT_ROWS, out,
            flat.FLAT_OUT_SIZES, sizes, flat.FLAT_OUT_ASSIGNMENT, assignment,
            *pairs_of(inputs)))
        return out


def _candidates(layout: Layout) -> int:
    return sum(layout.visual_tokens(b) for b in range(layout.sequences))


def describe(value: Any) -> tuple:
    """What the library sees of an array: dtype, device type, device number,
    shape, strides (in elements) and address."""
    return _flat.tkpy_describe((flat.FLAT_HIDDEN, value))


# --- scorers in Python -----------------------------------------------------------

Batch = Mapping[str, Any]
ScorerFunction = Callable[[Batch, Mapping[str, Array]], Any]
_registered: set[str] = set()


def register_scorer(
    name: str, function: Optional[ScorerFunction] = None, *, needs: Iterable[str] = ()
) -> Any:
    """Name a scorer of your own, for policies and YAML (``kind: custom``)::

        @tokenprune.register_scorer("brightest", needs=["hidden"])
        def brightest(batch, inputs):
            hidden = numpy.asarray(inputs["hidden"])
            return hidden[numpy.asarray(batch["candidate_rows"])].max(axis=1)

    ``batch`` has the fields of ``tkp_batch_view``; ``inputs`` the tensors that
    were given, as Arrays of their own (copies). The answer: N numbers, as an
    array or any iterable. What the function raises comes out of the call that
    ran it.
    """
    if function is None:
        return lambda f: register_scorer(name, f, needs=needs) or f
    unknown = [need for need in needs if need not in NEEDS]
    if unknown:
        raise ValueError(
            f"needs: {unknown[0]!r}, wanted some of {', '.join(NEEDS)}")

    def call(batch: Batch, inputs: Mapping[str, Array]) -> Any:
        scores = function(batch, inputs)
        if scores is None or isinstance(scores, (str, bytes)):
            raise TypeError(
                f"scorer {name!r} gave {type(scores).__name__}, wanted scores")
        try:
            if describe(scores)[0] == "f32":
                return scores
        except (ValueError, BufferError):
            pass
        return array.array("f", scores)

    _flat.tkpy_scorer_register(name, call, sum(NEEDS[need] for need in set(needs)))
    _registered.add(name)
    return None


def unregister_scorer(name: str) -> None:
    """Take a name back."""
    _flat.tkpy_scorer_unregister(name)
    _registered.discard(name)


@atexit.register
def _unregister_all() -> None:
    # Before the interpreter goes: the library outlives it.
    for name in list(_registered):
        try:
            unregister_scorer(name)
        except StateError:
            pass  # something that uses it is alive still

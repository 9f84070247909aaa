"""The engine protocol: begin, next, prune, report."""

from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Optional

from . import _flat, flat
from ._context import DTYPE_NAMES, Exec, Layout, ModelShape
from ._errors import StateError
from ._flat import Array, Object
from ._parts import describe, pairs_of
from ._policy import Point, Policy, point_of


class Report(NamedTuple):
    """What the pruning saved; counts are sums over the batch."""

    sequences: int
    layers: int
    stages: int
    layer_tokens: list[int]
    layer_visual: list[int]
    visual_before: int
    visual_after: int
    equiv_in: float
    equiv_out: float
    macs: float
    macs_unpruned: float
    kv_bytes: int
    kv_bytes_unpruned: int
    score_seconds: float
    select_seconds: float
    merge_seconds: float
    gather_seconds: float


_RAW = [name for name in Report._fields if not name.startswith("layer_")]


def report_of(ask: Any, owner: Object) -> Report:
    """A report by a native call that fills struct and lists."""
    raw = flat.tkp_report()
    ask(owner, raw, ())
    tokens = Array(raw.layers, "i64")
    visual = Array(raw.layers, "i64")
    ask(owner, raw, (
        flat.FLAT_OUT_LAYER_TOKENS, tokens, flat.FLAT_OUT_LAYER_VISUAL, visual))
    return Report(
        layer_tokens=tokens.tolist(), layer_visual=visual.tolist(),
        **{name: getattr(raw, name) for name in _RAW})


class Decision:
    """Which rows stay. Fields are Arrays of their own, made when first read:
    read them before the next :meth:`Sequence.prune` or ``begin``.
    """

    def __init__(self, sequence: "Sequence", number: int) -> None:
        self._sequence = sequence
        self._number = number
        self._fields: dict[int, Optional[Array]] = {}

    def _field(self, field: int) -> Optional[Array]:
        if field not in self._fields:
            dtype, ndim, *sizes = _flat.flat_decision_shape(
                self._sequence, self._number, field)
            found = None
            if dtype:
                found = Array(tuple(sizes[:ndim]), DTYPE_NAMES[dtype])
                _flat.flat_decision_copy(
                    self._sequence, self._sequence.exec, self._number, field,
                    (flat.FLAT_OUT_DATA, found))
            self._fields[field] = found
        return self._fields[field]

    def _always(self, field: int) -> Array:
        found = self._field(field)
        assert found is not None
        return found

    @property
    def indices(self) -> Array:
        """[rows_out] i32, the old row of each new row."""
        return self._always(flat.FLAT_DECISION_INDICES)

    @property
    def offsets(self) -> Array:
        """[B + 1] i32, where each sequence's new rows begin."""
        return self._always(flat.FLAT_DECISION_OFFSETS)

    @property
    def positions(self) -> Optional[Array]:
        """[position_rows, rows_out] i32, rotary positions."""
        return self._field(flat.FLAT_DECISION_POSITIONS)

    @property
    def merged(self) -> Optional[Array]:
        """[m, D] rows that replace gathered ones, or None."""
        return self._field(flat.FLAT_DECISION_MERGED)

    @property
    def merged_at(self) -> Optional[Array]:
        """[m] i32, the new rows that they replace."""
        return self._field(flat.FLAT_DECISION_MERGED_AT)

    @property
    def sizes(self) -> Array:
        """[rows_out] f32, tokens that each new row stands for."""
        return self._always(flat.FLAT_DECISION_SIZES)

    @property
    def assignment(self) -> Array:
        """[rows_in] i32, the new row each old row went to; -1: dropped."""
        return self._always(flat.FLAT_DECISION_ASSIGNMENT)

    @property
    def scores(self) -> Optional[Array]:
        """[N] f32 of the candidates, or None."""
        return self._field(flat.FLAT_DECISION_SCORES)

    @property
    def key_bias(self) -> Optional[Array]:
        """[rows_out] f32, to be added to the logits of each key, or None."""
        return self._field(flat.FLAT_DECISION_KEY_BIAS)

    @property
    def rows_out(self) -> int:
        return len(self.indices)

    def gather(self, source: Any, out: Any = None, *, kv: bool = False) -> Any:
        """``out[i] = source[indices[i]]``, merged rows in their places.

        :param source: [rows_in, ...], rows contiguous
        :param out: [rows_out, ...]; None: a new Array (on the host)
        :param kv: without merged rows: caches of layers before the cut
        """
        if out is None:
            dtype, _, _, shape, *_ = describe(source)
            out = Array((self.rows_out, *shape[1:]), dtype)
        _flat.flat_decision_gather(
            self._sequence, self._sequence.exec, self._number, int(kv),
            (flat.FLAT_SOURCE, source, flat.FLAT_OUT_ROWS, out))
        return out


class Sequence(Object):
    """Runs a policy against a batch. The engine pulls::

        sequence = Sequence(exec)
        sequence.begin(policy, layout, model)
        for point in sequence:
            ...                    # run the forward up to the point
            decision = sequence.prune(hidden=hidden, q=q, k=k)
            hidden = decision.gather(hidden)
        print(sequence.report().visual_after)

    One thread at a time; native work is done without the GIL.
    """

    def __init__(self, exec: Exec) -> None:
        self.exec = exec
        self._adopt(_flat.flat_sequence_create(exec.context))

    def begin(self, policy: Policy, layout: Layout, model: ModelShape) -> None:
        """Start a batch: all budgets are resolved, and memory is allocated."""
        _flat.flat_sequence_begin(self, self.exec, policy, layout, model)
        self._sequences = layout.sequences

    @property
    def workspace_bytes(self) -> int:
        """Of the most demanding stage of this batch."""
        return _flat.flat_workspace_bytes(self)

    def next(self) -> Optional[Point]:
        """The next point that cuts; None after the last."""
        raw = flat.tkp_point()
        _flat.flat_sequence_next(self, raw)
        if raw.kind == 0:
            return None
        return point_of(raw)

    def __iter__(self) -> Iterator[Point]:
        """The points; each must be pruned before the next is asked for."""
        last = None
        while True:
            point = self.next()
            if point is None:
                return
            if point == last:
                raise StateError(16, "sequence: wanted prune() at each point")
            last = point
            yield point

    def query_rows(self) -> Array:
        """Rows of the batch whose q the point wants, i32."""
        rows = Array(_flat.flat_sequence_query_rows(self, ()), "i32")
        _flat.flat_sequence_query_rows(self, (flat.FLAT_OUT_ROWS, rows))
        return rows

    def rows(self) -> tuple[Array, Array]:
        """The prompts' rows that are still there, and where each sequence's
        begin: what goes on to the decoder after cuts inside the encoder."""
        count = _flat.flat_sequence_rows(self, ())
        rows = Array(count, "i32")
        offsets = Array(self._sequences + 1, "i32")
        _flat.flat_sequence_rows(
            self, (flat.FLAT_OUT_ROWS, rows, flat.FLAT_OUT_OFFSETS, offsets))
        return rows, offsets

    def prune(self, **inputs: Any) -> Decision:
        """Decide at the point that :meth:`next` gave. Inputs have the names of
        ``tkp_inputs``: q, k, lse, hidden, cls_attention, scores, ..."""
        return Decision(self, _flat.flat_sequence_prune(
            self, self.exec, pairs_of(inputs)))

    def next_position(self, index: int = 0, layer: int = 0) -> int:
        """Rotary position of the first generated token; -1 outside."""
        return _flat.flat_sequence_next_position(self, index, layer)

    def report(self) -> Report:
        """Tokens a layer, multiply-accumulates and KV bytes so far."""
        return report_of(_flat.flat_sequence_report, self)

    def kept_cells(self, image: int) -> Array:
        """Cells of an image that are still there, i32, ascending."""
        cells = Array(
            _flat.flat_sequence_kept_cells(self, self.exec, image, ()), "i32")
        _flat.flat_sequence_kept_cells(
            self, self.exec, image, (flat.FLAT_OUT_ROWS, cells))
        return cells

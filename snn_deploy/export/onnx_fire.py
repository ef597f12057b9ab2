"""Spikes and resets of one layer as ONNX operators, in the order of :mod:`snn_deploy.simulate.firing`.

Products with 0 and 1 say what Where says, to the last bit for finite numbers, and take half its time in ONNX
Runtime. Spikes are cast anew for the reset: the layer's own output must not be read, and equal casts become
one.
"""

from __future__ import annotations

from onnx import TensorProto

from snn_deploy.export.onnx_parts import Step
from snn_deploy.graph.dynamics import Fire
from snn_deploy.simulate.onnx.info import StateValue

COMPARISONS = {">": "Greater", ">=": "GreaterOrEqual"}


def add_fire(step: Step, name: str, fire: Fire, h: str, v: StateValue, output: str) -> None:
    """Spikes ``output`` of the charged membrane ``h``, and the membrane ``v`` after its reset."""
    threshold = step.constant(f"{name}.v_threshold", fire.threshold)
    compare = COMPARISONS[fire.fires_at]
    after = v.output if fire.v_min is None else f"{name}/unbounded"
    deciding = h
    if fire.reset in {"zero-next", "subtract-next", "subtract-raised"}:
        owed = step.op(compare, [v.input, threshold], f"{name}/owed")
        deciding = (
            _to_v_reset(step, name, fire, h, owed, f"{name}/late")
            if fire.reset == "zero-next"
            else _lowered(step, name, fire, h, _as_number(step, owed, f"{name}/owed_spikes"), f"{name}/late")
        )
    if fire.several:
        _several(step, name, fire, h, output, after)
    else:
        fired = step.op(compare, [deciding, threshold], f"{name}/fired")
        step.op("Cast", [fired], output, to=TensorProto.FLOAT)
        if fire.reset in {"subtract", "subtract-raised"}:
            _lowered(step, name, fire, h, _as_number(step, fired, f"{name}/spikes"), after)
        elif fire.reset == "zero":
            _to_v_reset(step, name, fire, h, fired, after)
        else:
            step.op("Identity", [deciding], after)
    if fire.v_min is not None:
        step.op("Max", [after, step.constant(f"{name}.v_min", fire.v_min)], v.output)


def _several(step: Step, name: str, fire: Fire, h: str, output: str, after: str) -> None:
    """As many spikes as the membrane holds thresholds, or the next whole number; v_reset is zero."""
    ratio = step.op("Div", [h, f"{name}.v_threshold"], f"{name}/ratio")
    if fire.spikes == "rounded":
        ratio = step.op("Add", [ratio, step.constant(f"{name}.half", 0.5)], f"{name}/raised")
    if fire.fires_at == ">=":
        whole = step.op("Floor", [ratio], f"{name}/whole")
    else:
        above = step.op("Ceil", [ratio], f"{name}/above")
        whole = step.op("Sub", [above, step.constant(f"{name}.one", 1.0)], f"{name}/whole")
    zero = step.constant(f"{name}.none", 0.0)
    if fire.levels is not None:
        whole = step.op(
            "Min", [whole, step.constant(f"{name}.levels", float(fire.levels))], f"{name}/bounded"
        )
    count = step.op("Max", [whole, zero], f"{name}/count")
    step.op("Identity", [count], output)
    if fire.reset == "subtract":
        _lowered(step, name, fire, h, count, after)
    else:
        fired = step.op("Greater", [count, zero], f"{name}/fired")
        _to_v_reset(step, name, fire, h, fired, after)


def _as_number(step: Step, spikes: str, output: str) -> str:
    return step.op("Cast", [spikes], output, to=TensorProto.FLOAT)


def _lowered(step: Step, name: str, fire: Fire, h: str, spikes: str, output: str) -> str:
    """``h`` less one drop per spike."""
    if not any(constant.name == f"{name}.drop" for constant in step.constants):
        step.constant(f"{name}.drop", fire.threshold - fire.v_reset)
    return step.op("Sub", [h, step.op("Mul", [spikes, f"{name}.drop"], f"{output}/dropped")], output)


def _to_v_reset(step: Step, name: str, fire: Fire, h: str, fired: str, output: str) -> str:
    """``h``, and v_reset where it ``fired``."""
    if fire.v_reset.any():
        return step.op("Where", [fired, step.constant(f"{name}.v_reset", fire.v_reset), h], output)
    silent = step.op("Not", [fired], f"{name}/silent")
    kept = _as_number(step, silent, f"{name}/kept_share")
    return step.op("Mul", [h, kept], output)

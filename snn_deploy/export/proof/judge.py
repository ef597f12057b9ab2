"""From figures to a verdict.

=============  ============================================================================================
equal          nothing differs, and everything was exercised
ties only      only flips that float32 rounding explains
approximate    an approximation within its bounds
not shown      nothing contradicts, but the samples leave a layer silent, unfed or constant, so that a wrong
               file would pass as well
failed         something differs that nothing explains
not run        the runtime is not installed
=============  ============================================================================================

An approximation (rounded weights, a reader whose layers cannot be seen) is held to four bounds, all of them
our choice. They tell a file that drifts from one that computes something else, and need no labels but the
first: the accuracy lost; the share of samples decided otherwise, with two standard deviations of a binomial
count on top, since a bundle often has few samples; per layer, the correlation of its spikes with the
reference's, given the same input; and of all outputs, where no layer can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from snn_deploy.export.parity import Parity

OWN = frozenset({"reference", "loihi"})
"""Runtimes that are our own simulators: alone they prove that we can read what we wrote."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of an approximation. Shares are fractions."""

    max_accuracy_drop: float = 0.02
    max_changed_decisions: float = 0.1
    min_spike_correlation: float = 0.5
    min_output_correlation: float = 0.8

    @property
    def changed_share(self) -> float:
        """Of the samples, how many may be decided otherwise: no less than the accuracy that may be lost."""
        return min(1.0, self.max_changed_decisions + self.max_accuracy_drop)


def judge(parity: Parity, limits: Limits) -> Parity:
    """Give the verdict; see the module text."""
    if parity.exact:
        reason = _differs(parity)
        passed = "ties only" if parity.ties else "equal"
        note = f"{parity.ties} float ties, listed apart" if parity.ties else ""
    else:
        reason = _drifts(parity, limits)
        passed = "approximate" if _any_difference(parity) else "equal"
        note = "approximations are listed in the manifest" if passed == "approximate" else ""
    if reason:
        return replace(parity, verdict="failed", reason=reason)
    if lack := not_shown(parity):
        return replace(parity, verdict="not shown", reason=lack)
    return replace(parity, verdict=passed, reason=note)  # type: ignore[arg-type]


def not_shown(parity: Parity) -> str:
    """What the check cannot show, and what to do; empty when it shows everything."""
    cover = parity.coverage
    if cover is None:
        return ""
    if cover.silent:
        what = "no layer fires" if not any(row.spikes for row in cover.layers) else "the output never changes"
        return f"{what} on these samples. Try other data, or the right --dt"
    probed = parity.probes is not None and parity.probes.nodes > 0
    if cover.missing and not probed:
        listed = ", ".join(f"'{name}' {why}" for name, why in list(cover.missing.items())[:3])
        more = f" and {len(cover.missing) - 3} more" if len(cover.missing) > 3 else ""
        return f"{listed}{more} on these samples. Try more samples, other data, or the right --dt"
    return ""


def _differs(parity: Parity) -> str:
    spikes = sum(layer.unexplained for layer in parity.layers)
    if spikes:
        where = next(layer for layer in parity.layers if layer.unexplained)
        return f"{spikes} spikes differ first in '{where.layer}' at (step, sample, element) {where.first}"
    if parity.output_differing:
        return f"{parity.output_differing} of {parity.output_compared} outputs differ beyond rounding"
    if parity.probes is not None and parity.probes.differing:
        places = ", ".join(f"'{name}'" for name in parity.probes.where[:3])
        return f"{parity.probes.differing} values differ on synthetic inputs, first in {places}"
    free = sum(layer.free_differing for layer in parity.layers)
    if not parity.ties and (free or parity.output_free_differing):
        return f"{parity.output_free_differing} outputs and {free} free-running spikes differ"
    return ""


def _any_difference(parity: Parity) -> bool:
    flips = any(layer.differing or layer.free_differing for layer in parity.layers)
    return bool(parity.output_differing) or flips


def _drifts(parity: Parity, limits: Limits) -> str:
    if parity.accuracy is not None and parity.accuracy_reference is not None:
        drop = parity.accuracy_reference - parity.accuracy
        if drop > limits.max_accuracy_drop:
            allowed = f"allowed {100 * limits.max_accuracy_drop:.1f}"
            return f"accuracy drops by {100 * drop:.1f} points; {allowed}"
    changed, allowed_count = parity.samples - parity.same_decision, _most_changed(parity.samples, limits)
    if changed > allowed_count:
        return f"{changed} of {parity.samples} samples are decided otherwise; allowed {allowed_count}"
    for layer in parity.layers:
        found = layer.correlation
        if layer.differing and layer.spikes_reference and (found or 0.0) < limits.min_spike_correlation:
            text = "silent" if found is None else f"{found:.2f}"
            least = f"at least {limits.min_spike_correlation:g}"
            return f"spikes of '{layer.layer}' do not follow the reference's: correlation {text}, {least}"
    if not parity.layers and parity.output_differing:
        found = parity.output_correlation
        if (found or 0.0) < limits.min_output_correlation:
            text = "none" if found is None else f"{found:.2f}"
            return f"outputs do not follow the reference's: correlation {text}, at least 0.8"
    return ""


def _most_changed(samples: int, limits: Limits) -> int:
    share = limits.changed_share
    return math.floor(samples * share + 2 * math.sqrt(samples * share * (1 - share)))


def verdict_of(parities: Sequence[Parity]) -> tuple[str, str]:
    """The verdict on a bundle and the reason: ``failed`` if any check failed; ``verified`` when no check is
    left open, every format was run, and an independent runtime, not only our own simulators, took part."""
    if any(p.verdict == "failed" for p in parities):
        found = [f"{p.format} in {p.runtime}: {p.reason}" for p in parities if p.verdict == "failed"]
        return "failed", "; ".join(found)
    passed = [p for p in parities if p.verdict not in {"not run", "not shown"}]
    for p in parities:
        if p.format not in {other.format for other in passed}:
            what = p.reason if p.verdict == "not shown" else f"not run, {p.reason}"
            return "not verified", f"{p.format} in {p.runtime}: {what}"
    if not any(p.runtime not in OWN for p in passed):
        return "not verified", (
            "only our own simulators ran the files. Try --to nir,onnx, or a network that a foreign reader of "
            "NIR runs, with pip install 'snn-deploy[interop]'"
        )
    return "verified", ""

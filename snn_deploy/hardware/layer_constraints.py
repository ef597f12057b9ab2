"""Constraints on the geometry of convolutions, dense layers and pooling; see :mod:`.constraint`."""

from __future__ import annotations

from collections.abc import Iterable

from snn_deploy.graph.shapes import axes, pads
from snn_deploy.hardware.constraint import constraint, words
from snn_deploy.hardware.network import Network, WeightLayer


def _convolutions(network: Network) -> Iterable[WeightLayer]:
    return [layer for layer in network.layers if layer.convolves]


def _dense(network: Network) -> Iterable[WeightLayer]:
    return [layer for layer in network.layers if not layer.convolves]


@constraint("kernel_max", "at most", _convolutions, "kernel {}", "smaller kernels, or two layers")
def kernel_width(network: Network, layer: WeightLayer) -> tuple[int, ...]:
    """Kernels have at most this width and height."""
    return layer.kernel


@constraint("kernel_sizes", "one of", _convolutions, "kernel {}", "another kernel size")
def kernel_size(network: Network, layer: WeightLayer) -> tuple[int, ...]:
    """Kernels have one of these sizes."""
    return layer.kernel


@constraint("square_kernels", "no", _convolutions, "kernel {}", "pad the kernel with zeros to a square")
def oblong_kernel(network: Network, layer: WeightLayer) -> tuple[int, ...] | None:
    """Kernels are square."""
    return layer.kernel if len(set(layer.kernel)) > 1 else None


@constraint("strides", "one of", _convolutions, "stride {}", "another stride, or pooling")
def stride(network: Network, layer: WeightLayer) -> tuple[int, ...]:
    """Convolutions move by one of these strides."""
    return layer.stride


@constraint("paddings", "one of", _convolutions, "{}", "pad as the chip does")
def padding_kind(network: Network, layer: WeightLayer) -> str:
    """Convolutions pad in one of these ways ('same': out = ceil(in / stride), the odd zero after)."""
    if not any(side for pair in layer.padding for side in pair):
        return "valid"
    sizes = zip(layer.source[1:], layer.kernel, layer.dilation, layer.stride, layer.padding, strict=True)
    for size, kernel, dilation, step, (before, after) in sizes:
        outputs = -(-size // step)
        total = max((outputs - 1) * step + dilation * (kernel - 1) + 1 - size, 0)
        if (
            before != total // 2
            or (size + before + after - dilation * (kernel - 1) - 1) // step + 1 != outputs
        ):
            return f"{before} zeros before, {after} after"
    return "same"


@constraint("padding_max", "at most", _convolutions, "padding {}", "less padding")
def padding(network: Network, layer: WeightLayer) -> tuple[int, ...]:
    """Convolutions pad at most this many zeros on a side."""
    return tuple(max(pair) for pair in layer.padding)


@constraint("dilations", "one of", _convolutions, "dilation {}", "write the zeros into a larger kernel")
def dilation(network: Network, layer: WeightLayer) -> tuple[int, ...]:
    """Kernels are dilated by one of these factors."""
    return layer.dilation


@constraint(
    "groups", "one of", _convolutions, "{} groups", "write it as a full convolution with zeros between groups"
)
def groups(network: Network, layer: WeightLayer) -> int:
    """Convolutions have one of these numbers of groups."""
    return layer.groups


@constraint("channels_in", "one of", _convolutions, "{} input channels", "another number of channels")
def channels_in(network: Network, layer: WeightLayer) -> int:
    """The layer takes one of these numbers of input channels."""
    return layer.channels_in


@constraint("channels_max", "at most", lambda n: n.layers, "{} channels", "fewer channels")
def channels(network: Network, layer: WeightLayer) -> int:
    """Layers have at most this many channels."""
    return max(layer.channels_in, layer.channels_out) if layer.convolves else layer.channels_out


@constraint("input_size_max", "at most", _convolutions, "input {}", "pool or stride earlier")
def input_size(network: Network, layer: WeightLayer) -> tuple[int, ...]:
    """The input map of a layer is at most this wide and high."""
    return layer.source[1:]


@constraint("input_size_min", "at least", _convolutions, "input {}", "a larger image")
def input_size_at_least(network: Network, layer: WeightLayer) -> tuple[int, ...]:
    """The input map of the layer is at least this wide and high."""
    return layer.source[1:]


@constraint(
    "output_size_max", "at most", _convolutions, "output {}", "a stride in this layer, or pooling before"
)
def output_size(network: Network, layer: WeightLayer) -> tuple[int, ...]:
    """The output map of a layer, before pooling, is at most this wide and high."""
    return layer.target[1:]


@constraint("dense_inputs_max", "at most", _dense, "{} inputs", "pool or stride before the dense layer")
def dense_inputs(network: Network, layer: WeightLayer) -> int:
    """A dense layer has at most this many inputs."""
    return int(layer.weight.shape[1])


@constraint(
    "filters_by_kernel",
    "table",
    _convolutions,
    "{} (channels x kernel x filters)",
    "fewer filters or a smaller kernel",
)
def filters(network: Network, layer: WeightLayer) -> tuple[int, int, int]:
    """The layer has at most so many filters for its input channels and kernel."""
    return layer.channels_in, max(layer.kernel), layer.channels_out


@constraint(
    "pool_sizes", "one of", lambda n: n.pools, "window {}", "another window, or a strided convolution"
)
def pool_size(network: Network, node: str) -> tuple[int, ...]:
    """Pooling windows have one of these sizes."""
    return axes(network.plan.node(node).kernel_size, 2)


@constraint("square_kernels", "no", lambda n: n.pools, "window {}", "square windows")
def oblong_window(network: Network, node: str) -> tuple[int, ...] | None:
    """Pooling windows are square."""
    kernel = axes(network.plan.node(node).kernel_size, 2)
    return kernel if len(set(kernel)) > 1 else None


@constraint("pool_stride", "no", lambda n: n.pools, "{}", "windows that touch, without padding")
def pool_overlap(network: Network, node: str) -> str | None:
    """Pooling windows neither overlap nor leave gaps, and are not padded."""
    pool = network.plan.node(node)
    kernel, step = axes(pool.kernel_size, 2), axes(pool.stride, 2)
    if any(side for pair in pads(pool, kernel, (1, 1), step) for side in pair):
        return "padded windows"
    return None if kernel == step else f"stride {words(step)} for windows of {words(kernel)}"


def _global(network: Network, node: str) -> tuple[int, ...] | None:
    """Size of the map that a pool averages as a whole; None when its window is smaller."""
    size = network.plan.shapes[network.before[node][0]][1:]
    return size if axes(network.plan.node(node).kernel_size, 2) == size else None


@constraint("pool_reach", "no", lambda n: n.pools, "window {}", "stride instead of pooling")
def pool_window(network: Network, node: str) -> tuple[int, ...] | None:
    """Average pooling covers the whole map."""
    return None if _global(network, node) else axes(network.plan.node(node).kernel_size, 2)


@constraint("pool_global_max", "at most", lambda n: n.pools, "average over {}", "stride earlier")
def pool_global(network: Network, node: str) -> tuple[int, ...] | None:
    """A map that is averaged as a whole is at most this wide."""
    return _global(network, node)

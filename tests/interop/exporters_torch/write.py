"""Write networks of torchvision and timm as ONNX into a folder, by both exporters of torch, with inputs and
outputs."""

import sys
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from torch import nn

OPSETS = {True: (18, 20), False: (13, 17)}
"""Of the newer exporter, and of the older."""
MADE = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25),
    "squeezenet1_1": lambda: torchvision.models.squeezenet1_1(num_classes=10),
    "timm-resnet10t": lambda: timm.create_model("resnet10t", num_classes=10),
}


def main():
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    for name, make in MADE.items():
        network = make().eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        x = torch.rand(8, 3, 32, 32)
        with torch.no_grad():
            np.savez(folder / f"{name}.npz", x=x.numpy(), y=network(x).numpy())
        for newer, opsets in OPSETS.items():
            batch = (
                {"dynamic_shapes": ({0: torch.export.Dim("b")},), "external_data": False}
                if newer
                else {"dynamic_axes": {"x": {0: "b"}}, "input_names": ["x"]}
            )
            for opset in opsets:
                file = folder / f"{name}@{'dynamo' if newer else 'torchscript'}-{opset}.onnx"
                torch.onnx.export(
                    network, (x,), str(file), dynamo=newer, opset_version=opset, verbose=False, **batch
                )


main()

"""Everything that ships and is chosen by name: where it is, the model of its options, and what ``ls`` says.

Nothing is imported to read these tables, and only a module of options to check a recipe: no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Component(NamedTuple):
    """A component that ships.

    Attributes:
        module: registers the factory when it is imported; within the registry's room, or relative to it.
        summary: the first line of the factory's docstring, where it has one of its own.
        options: class in the registry's module of options; by default it has none.
    """

    module: str
    summary: str
    options: str = "Options"


METHODS: Mapping[str, Component] = {
    "none": Component("none", "Cross entropy with the labels, no teacher.", "NoneOptions"),
    "kd": Component("kd", "Teacher logits against the time-mean of the student's.", "KdOptions"),
    "tser": Component("tser", "Labels and teacher act on every step; entropy is rewarded.", "TserOptions"),
    "tssd": Component(
        "tssd",
        "A longer run of the student teaches the short one and a weak classifier; no teacher.",
        "TssdOptions",
    ),
    "samd_nld": Component(
        "samd_nld",
        "The student looks where the teacher looks; its logits are smoothed by noise.",
        "SamdNldOptions",
    ),
    "bkd": Component(
        "bkd",
        "Blurred features of the student must restore the teacher's; weighted soft labels.",
        "BkdOptions",
    ),
    "twd": Component(
        "twd",
        "Every step learns from labels, teacher, and the mean of the steps that are right.",
        "TwdOptions",
    ),
    "seal": Component(
        "seal",
        "The teacher does not insist where the student errs; steps that agree teach each other.",
        "SealOptions",
    ),
    "s2w": Component(
        "s2w", "The most and the least confident timestep guide each other; no teacher.", "S2wOptions"
    ),
}

STUDENTS: Mapping[str, Component] = {
    "spiking-cnn": Component(
        "spiking_cnn",
        "Convolution, batch norm and spiking neurons; strided or average-pooled.",
        "SpikingCnnOptions",
    ),
    "rsnn": Component(
        "rsnn",
        "Dense layers of recurrent spiking neurons, with learned delays where asked for.",
        "RsnnOptions",
    ),
    "vgg9": Component("vgg", "VGG with nine layers; spiking, deployable.", "SpikingVggOptions"),
    "vggsnn": Component("vgg", "VGG for event data of 48x48; spiking, deployable.", "SpikingVggOptions"),
    "dvs-csnn": Component(
        "vgg", "Five convolutions for DVS-Gesture of 128x128; spiking, deployable.", "SpikingVggOptions"
    ),
    "resnet18": Component(
        "residual", "Residual network, firing after the sum; spiking, deployable.", "SpikingResidualOptions"
    ),
    "resnet19": Component(
        "residual", "Residual network, firing after the sum; spiking, deployable.", "SpikingResidualOptions"
    ),
    "resnet20": Component(
        "residual", "Residual network, firing after the sum; spiking, deployable.", "SpikingResidualOptions"
    ),
    "resnet34": Component(
        "residual", "Residual network, firing after the sum; spiking, deployable.", "SpikingResidualOptions"
    ),
    "sew-resnet18": Component(
        "residual",
        "Residual network of spike sums (SEW, ADD); spiking, deployable.",
        "SpikingResidualOptions",
    ),
    "sew-resnet34": Component(
        "residual",
        "Residual network of spike sums (SEW, ADD); spiking, deployable.",
        "SpikingResidualOptions",
    ),
    "sew-resnet50": Component(
        "residual",
        "Residual network of spike sums (SEW, ADD); spiking, deployable.",
        "SpikingResidualOptions",
    ),
    "ms-resnet18": Component(
        "residual",
        "Residual network of membrane sums (MS-ResNet); spiking, deployable.",
        "SpikingResidualOptions",
    ),
    "ms-resnet34": Component(
        "residual",
        "Residual network of membrane sums (MS-ResNet); spiking, deployable.",
        "SpikingResidualOptions",
    ),
    "spikformer": Component(
        "transformers",
        "Spiking transformer with self-attention; to train, not to export.",
        "SpikformerOptions",
    ),
    "qkformer": Component(
        "transformers",
        "Spiking transformer in three stages with Q-K attention; to train, not to export.",
        "QkformerOptions",
    ),
    "converted": Component(
        "converted", "The network of a conversion, trained on; spiking, deployable.", "ConvertedOptions"
    ),
}

TEACHERS: Mapping[str, Component] = {
    "cnn": Component("cnn", "A small analogue convolutional network.", "CnnOptions"),
    "vgg9": Component("vgg", "VGG with nine layers; the student's analogue twin.", "VggOptions"),
    "vggsnn": Component("vgg", "VGG for event data of 48x48; the student's analogue twin.", "VggOptions"),
    "dvs-csnn": Component(
        "vgg", "Five convolutions for DVS-Gesture of 128x128; the student's analogue twin.", "VggOptions"
    ),
    "resnet18": Component(
        "residual", "Residual network, firing after the sum; the student's analogue twin.", "ResidualOptions"
    ),
    "resnet19": Component(
        "residual", "Residual network, firing after the sum; the student's analogue twin.", "ResidualOptions"
    ),
    "resnet34": Component(
        "residual", "Residual network, firing after the sum; the student's analogue twin.", "ResidualOptions"
    ),
    "ms-resnet18": Component(
        "residual",
        "Residual network of membrane sums (MS-ResNet); the student's analogue twin.",
        "ResidualOptions",
    ),
    "ms-resnet34": Component(
        "residual",
        "Residual network of membrane sums (MS-ResNet); the student's analogue twin.",
        "ResidualOptions",
    ),
    "resnet20": Component(
        "public_resnet", "Analogue residual network in the layout of public CIFAR checkpoints."
    ),
    "resnet56": Component(
        "public_resnet", "Analogue residual network in the layout of public CIFAR checkpoints."
    ),
    "imagenet-resnet18": Component(
        "public_resnet", "Analogue residual network in the layout of torchvision's checkpoints."
    ),
    "imagenet-resnet34": Component(
        "public_resnet", "Analogue residual network in the layout of torchvision's checkpoints."
    ),
    "imagenet-resnet50": Component(
        "public_resnet", "Analogue residual network in the layout of torchvision's checkpoints."
    ),
    "onnx": Component(
        "..convert.teacher", "The trained ANN in an .onnx file, such as that of a conversion.", "OnnxOptions"
    ),
    "timm": Component("foreign", "A network of the package timm, which must be installed.", "ForeignOptions"),
    "torchvision": Component(
        "foreign", "A network of the package torchvision, which must be installed.", "ForeignOptions"
    ),
}

DATASETS: Mapping[str, Component] = {
    "digits-dvs": Component(
        "synthetic",
        "1,797 real 8x8 digits seen by a simulated event camera, 16x16 pixels; embedded, no download.",
        "DigitsDvsOptions",
    ),
    "camera": Component(
        "camera",
        "Any set of still images, also your own, before a simulated event camera.",
        "CameraOptions",
    ),
    "nmnist": Component(
        "nmnist",
        "N-MNIST: MNIST digits recorded by a moving event camera, 34x34 pixels; your own download.",
        "NmnistOptions",
    ),
    "dvs128-objects": Component(
        "dvs128_objects",
        "Five objects before a DVS128, 128x128 pixels: one session to train, the other to test; your files.",
        "Dvs128ObjectsOptions",
    ),
    "dvs-gesture": Component(
        "dvs_gesture",
        "DVS-Gesture: eleven gestures before an event camera, 128x128 pixels; your own download.",
        "DvsGestureOptions",
    ),
    "cifar10-dvs": Component(
        "cifar10_dvs",
        "CIFAR10-DVS: CIFAR-10 images before a moving event camera, 128x128 pixels; your own download.",
        "Cifar10DvsOptions",
    ),
    "n-caltech101": Component(
        "ncaltech101",
        "N-Caltech101: Caltech-101 images before a moving event camera, 180x240 pixels; your own download.",
        "NCaltech101Options",
    ),
    "shd": Component(
        "shd",
        "Spiking Heidelberg Digits: spoken digits as 700 spike trains of a model ear; your own download.",
        "ShdOptions",
    ),
    "time-series": Component(
        "time_series",
        "Real-valued series of the UEA and UCR archives, such as speech or movement; your own download.",
        "TimeSeriesOptions",
    ),
    "event-folder": Component(
        "event_folder",
        "Your own event recordings: a folder and a CSV table with path, label and split.",
        "EventFolderOptions",
    ),
    "cifar10": Component(
        "cifar",
        "CIFAR-10: 60,000 photographs in 10 classes, 32x32 pixels in colour; your own download.",
        "CifarOptions",
    ),
    "cifar100": Component(
        "cifar",
        "CIFAR-100: 60,000 photographs in 100 classes, 32x32 pixels in colour; your own download.",
        "Cifar100Options",
    ),
    "mnist": Component(
        "mnist", "MNIST: 70,000 handwritten digits, 28x28 pixels in grey; your own download.", "IdxOptions"
    ),
    "fashion-mnist": Component(
        "mnist",
        "Fashion-MNIST: 70,000 pieces of clothing, 28x28 pixels in grey; your download or Debian's package.",
        "FashionMnistOptions",
    ),
    "image-folder": Component(
        "image_folder",
        "Your own images in folders train/<class> and val/<class>, such as ImageNet, streamed from disk.",
        "ImageFolderOptions",
    ),
}

FORMATS: Mapping[str, Component] = {
    "nir": Component("nir", "NIR file (HDF5), portable or --for one reader", "NirOptions"),
    "onnx": Component("onnx", "ONNX models: a step with explicit states, sequences", "OnnxOptions"),
    "lava": Component("lava", "lava-dl HDF5 file for Loihi, 2 to 8-bit weights", "LavaOptions"),
    "c": Component("c.writer", "C99 source of the integer network, for any processor", "COptions"),
    "c-float": Component(
        "c_float.writer", "C99 source in float32: soft resets, loops and delays too", "Options"
    ),
}

BACKENDS: Mapping[str, Component] = {
    "reference": Component("simulate.reference", "The float32 reference simulator on a NIR file."),
    "loihi": Component(
        "simulate.loihi", "Bit-exact fixed-point simulation of a .net file, whole batches at once."
    ),
    "onnxruntime": Component("simulate.onnx.runtime", "ONNX Runtime on the CPU, for our models."),
    "lava": Component("simulate.lava.client", "Lava's own CPU simulation, in its own environment."),
    "c": Component("export.c.runtime", "The bundle's model.c, compiled by this machine's C compiler."),
    "c-float": Component(
        "export.c_float.runtime", "The bundle's model_float.c, compiled by this machine's C compiler."
    ),
    "norse": Component("export.foreign", "Norse's NIR importer, stepped through time."),
    "snntorch": Component("export.foreign", "snnTorch's NIR importer, stepped through time."),
    "spikingjelly": Component("export.foreign", "SpikingJelly's NIR importer, stepped through time."),
}

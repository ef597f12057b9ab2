"""Write Keras networks as ONNX into a folder, by tf2onnx and by Keras itself, with inputs and outputs."""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers

OPSETS = (13, 17)


def normed(x, relu=None):
    return layers.ReLU(relu)(layers.BatchNormalization()(x))


def digits():
    """One channel: its axes are put in order by a reshape."""
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.AveragePooling2D(2),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ]
    )


def residual():
    """Two blocks, one with a shortcut of its own; a softmax at the end."""
    given = layers.Input((32, 32, 3))
    x = normed(layers.Conv2D(8, 3, padding="same", use_bias=False)(given))
    y = normed(layers.Conv2D(8, 3, padding="same", use_bias=False)(x))
    x = layers.ReLU()(layers.Add()([x, layers.Conv2D(8, 3, padding="same")(y)]))
    shortcut = layers.Conv2D(16, 1, strides=2)(x)
    y = layers.ReLU()(layers.Conv2D(16, 3, strides=2, padding="same")(x))
    x = layers.ReLU()(layers.Add()([shortcut, layers.Conv2D(16, 3, padding="same")(y)]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, layers.Dense(10, activation="softmax")(x))


def mobile():
    """Depthwise convolutions, ReLU6, a padding of its own, a classifier of 1x1."""
    given = layers.Input((32, 32, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(given)
    x = normed(layers.Conv2D(8, 3, strides=2, use_bias=False)(x), 6.0)
    x = normed(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x), 6.0)
    x = normed(layers.Conv2D(16, 1, use_bias=False)(x), 6.0)
    x = layers.Conv2D(10, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return keras.Model(given, layers.Flatten()(x))


def main():
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    for make in (digits, residual, mobile):
        network, name = make(), make.__name__
        for layer in network.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.set_weights([random.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()])
        shape = network.input_shape[1:]
        x = random.random((8, *shape)).astype(np.float32)
        y = network(x, training=False).numpy()
        np.savez(folder / f"{name}.npz", x=x.transpose(0, 3, 1, 2), y=y)
        wanted = (tf.TensorSpec((None, *shape), tf.float32, name="x"),)
        function = tf.function(lambda x, net=network: net(x, training=False), input_signature=wanted)
        for opset in OPSETS:
            file = str(folder / f"{name}@tf2onnx-{opset}.onnx")
            tf2onnx.convert.from_function(function, input_signature=wanted, opset=opset, output_path=file)
        network.export(str(folder / f"{name}@keras.onnx"), format="onnx", verbose=False)


main()

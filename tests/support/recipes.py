"""What the data of a recipe look like to a network, without the data."""

from __future__ import annotations

from snn_deploy.core.registry import DATASETS
from snn_deploy.data import declared as product
from snn_deploy.recipes.recipe import Recipe

Shape = tuple[int, int, int]


def declared(recipe: Recipe) -> tuple[Shape, int]:
    """Shape of a frame and number of classes; of image folders that of ImageNet."""
    found = product.declared(recipe.data.name, recipe.data.resolve(DATASETS))
    return found.shape, found.classes or 1000

"""``ls``, ``show``, ``cp`` and ``validate``: what ships with the package, and whether a recipe is sound."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_deploy.cli.own import own_options
from snn_deploy.cli.trust import Trusting, asked

if TYPE_CHECKING:
    from snn_deploy.core.registry import Registry
    from snn_deploy.core.shelf import Shelved


class Kind(StrEnum):
    """What ``ls`` can list."""

    RECIPES = "recipes"
    METHODS = "methods"
    DATA = "data"
    STUDENTS = "students"
    TEACHERS = "teachers"
    FORMATS = "formats"
    BACKENDS = "backends"
    PROFILES = "profiles"
    MODELS = "models"


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def ls(
    kind: Annotated[Kind | None, typer.Argument(help="What to list; everything by default.")] = None,
    json: Json = False,
) -> None:
    """List recipes, methods, data sets, students, formats, backends and chip profiles."""
    from snn_deploy.cli import render

    kinds = [kind] if kind else list(Kind)
    content = {str(k): _rows(k) for k in kinds}
    if json:
        render.emit_json(content)
        return
    for name, rows in content.items():
        columns = [column for column in rows[0] if column != "description"] if rows else ["name"]
        render.table(columns, ([row[c] for c in columns] for row in rows), title=name)
        render.say()
    if kind is None:
        render.say("next: snn-deploy distill quickstart")


@own_options
def show(
    name: Annotated[
        str, typer.Argument(help="A recipe, profile, method ..., FILE.nir, FILE.net or FILE.py:NAME.")
    ],
    json: Json = False,
    own: Any = None,
) -> None:
    """Print a recipe or profile as it ships, the options of a component, or a network as text."""
    from snn_deploy.cli import render
    from snn_deploy.core.assets import AssetKind, asset_dir, asset_names, shipped_values
    from snn_deploy.core.errors import ConfigError, did_you_mean
    from snn_deploy.recipes.own_code import is_own_code

    if name.endswith((".nir", ".net")) or is_own_code(name):
        from snn_deploy.tasks.show import file_text, module_text

        text = module_text(name, own) if is_own_code(name) else file_text(Path(name))
        if json:
            render.emit_json({"kind": "network", "name": name, "text": text})
        else:
            typer.echo(text, nl=False)
        return
    folders: tuple[AssetKind, ...] = ("distill", "hardware_profiles")
    for folder in folders:
        if name in asset_names(folder):
            if json:
                render.emit_json(shipped_values(folder, name))
            else:
                typer.echo((asset_dir(folder) / f"{name}.yaml").read_text(), nl=False)
            return
    known = set(asset_names("distill")) | set(asset_names("hardware_profiles"))
    for kind, registry in _registries().items():
        known |= set(registry.names())
        if name in registry.names():
            _show_component(kind.removesuffix("s"), name, registry, json)
            return
    raise ConfigError(f"Nothing is called '{name}'.{did_you_mean(name, known)}", hint="See: snn-deploy ls")


def _show_component(kind: str, name: str, registry: Registry[Any], json: bool) -> None:
    from snn_deploy.cli import render
    from snn_deploy.core.options_table import option_rows

    rows = list(option_rows(registry.options(name)))
    if json:
        options = [row._asdict() for row in rows]
        render.emit_json({"kind": kind, "name": name, "what": registry.summary(name), "options": options})
        return
    render.say(f"{kind} '{name}': {registry.summary(name)}")
    if not rows:
        render.say("It has no options.")
        return
    render.table(
        ["option", "default", "values, meaning"],
        ([row.name, row.default, f"{row.values}\n{row.meaning}"] for row in rows),
    )


def cp(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe or profile; or the word 'model'.")],
    destination: Annotated[
        Path, typer.Argument(help="File to write; or the name of a model, or hf://ORG/NAME.")
    ],
    folder: Annotated[Path | None, typer.Argument(help="Of a model: where to. Default: its name.")] = None,
) -> None:
    """Copy a shipped recipe or profile to a file of your own, or a model of the shelf to a folder."""
    from snn_deploy.cli import render
    from snn_deploy.core.assets import asset_names, find_asset
    from snn_deploy.core.errors import ConfigError
    from snn_deploy.core.files import write_bytes

    if recipe == "model":
        from snn_deploy.core.shelf import copy_model
        from snn_deploy.tasks.fetch import fetch, is_remote

        name, target = str(destination), folder or Path(destination.name.partition("@")[0])
        (fetch if is_remote(name) else copy_model)(name, target)
        render.say(f"wrote {target}")
        render.say(f"next: snn-deploy simulate {target} --samples 64")
        return
    if folder is not None:
        raise ConfigError("Only a model is copied to a folder.", hint="snn-deploy cp model NAME FOLDER")
    profile = recipe in asset_names("hardware_profiles")
    source = find_asset("hardware_profiles" if profile else "distill", recipe, "recipe or profile")
    if destination.is_dir():
        destination = destination / source.name
    if destination.exists():
        raise ConfigError(f"'{destination}' exists; it is not overwritten.")
    write_bytes(destination, source.read_bytes())
    render.say(f"wrote {destination}")
    if not profile:
        render.say(f"next: snn-deploy distill {destination}")


def validate(
    recipes: Annotated[list[str], typer.Argument(help="Recipe names or files.")],
    override: Annotated[
        list[str] | None, typer.Option("-o", "--override", help="key=value, dotted.", metavar="KEY=VALUE")
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Also build networks and method, without data and numbers.")
    ] = False,
    trust: Trusting = False,
    json: Json = False,
) -> None:
    """Check recipes without running them; all faults of a recipe are shown at once."""
    from snn_deploy.cli import render
    from snn_deploy.core.errors import ConfigError, SnnDeployError
    from snn_deploy.recipes.recipe import load_recipe, require_own_code

    rows: list[dict[str, Any]] = []
    for name in recipes:
        try:
            recipe = load_recipe(name, override or (), trust=asked(trust))
            require_own_code(recipe)
            if build:
                from snn_deploy.tasks.build import build_without_numbers

                build_without_numbers(recipe)
        except SnnDeployError as failure:
            rows.append({"recipe": name, "ok": False, **render.error_content(failure)})
            if not json:
                render.error(failure, as_json=False)
        else:
            rows.append({"recipe": name, "ok": True, "name": recipe.name, "digest": recipe.digest()})
            if not json:
                render.say(f"ok  {recipe.name}  ({recipe.digest()[:12]})")
    failures = sum(not row["ok"] for row in rows)
    if json:
        render.emit_json(rows)
        if failures:
            raise typer.Exit(ConfigError.exit_code)
    elif failures:
        raise ConfigError(f"{failures} of {len(recipes)} recipes have faults.")


def _registries() -> dict[str, Registry[Any]]:
    from snn_deploy.core import registry

    return {
        "methods": registry.METHODS,
        "data": registry.DATASETS,
        "students": registry.STUDENTS,
        "teachers": registry.TEACHERS,
        "formats": registry.FORMATS,
        "backends": registry.BACKENDS,
    }


def _rows(kind: Kind) -> list[dict[str, str]]:
    from snn_deploy.core.assets import asset_names, shipped_values
    from snn_deploy.core.shelf import shelved

    if kind is Kind.RECIPES:
        return [_recipe_row(name) for name in asset_names("distill")]
    if kind is Kind.PROFILES:
        profiles = [shipped_values("hardware_profiles", name) for name in asset_names("hardware_profiles")]
        return [{"name": p["id"], "chip": p["chip"], "scope": p["scope"]} for p in profiles]
    if kind is Kind.MODELS:
        return [_model_row(model) for model in shelved()]
    registry = _registries()[str(kind)]
    return [{"name": n, "what": registry.summary(n)} for n in registry.names()]


def _model_row(model: Shelved) -> dict[str, str]:
    return {
        "name": model.name,
        "data": model.data,
        "T": str(model.timesteps),
        "accuracy": f"{100 * model.accuracy:.1f} % of {model.samples}",
        "formats": ", ".join(model.formats),
        "proof": model.verdict,
        "data licence": model.data_licence,
        "description": f"{model.licence}. {model.data_source}. {model.command}",
    }


def _recipe_row(name: str) -> dict[str, str]:
    """A row of the recipe table, read without importing any component."""
    from snn_deploy.core.assets import shipped_values

    content = shipped_values("distill", name)
    method = content["method"] if isinstance(content["method"], list) else [content["method"]]
    published, measured = content.get("published") or {}, content.get("measured")
    return {
        "name": name,
        "method": "+".join(m["name"] for m in method),
        "data": content["data"]["name"],
        "network": content["student"]["name"],
        "T": str(content["timesteps"]),
        "published": f"{published['accuracy']} % [{published['grade']}]"
        if published.get("accuracy")
        else "-",
        "ours": f"{measured['accuracy']} % ({measured['date']})" if measured else "-",
        "description": content.get("description", ""),
    }

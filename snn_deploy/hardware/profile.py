"""Read chip profiles: what one event costs, with source, evidence grade and interval for every number.

A profile is a YAML document in ``hardware_profiles/``. The loader refuses what would make a price dishonest:
a number without source, a number from memory, an all-in figure beside other terms (double charging), a
central value outside its interval. All faults are reported together.
"""

from __future__ import annotations

from pydantic import ValidationError

from snn_deploy.core.assets import asset_names, find_asset
from snn_deploy.core.documents import parse_yaml, validation_problems
from snn_deploy.core.errors import ConfigError
from snn_deploy.hardware.rules import rule_problems
from snn_deploy.hardware.schema import Profile


def profile_names() -> list[str]:
    """Names of the profiles that ship with the package."""
    return asset_names("hardware_profiles")


def load_profile(name_or_path: str) -> Profile:
    """Read a shipped profile by name, or a YAML file by path.

    Raises:
        ConfigError: no such profile, or faults in it; all of them at once.
    """
    path = find_asset("hardware_profiles", name_or_path, "profile")
    return parse_profile(path.read_bytes(), origin=str(name_or_path))


def parse_profile(text: bytes | str, *, origin: str = "profile") -> Profile:
    """Parse the text of a profile; see :func:`load_profile`."""
    content = parse_yaml(text, origin, "profile")
    if not isinstance(content, dict):
        raise ConfigError(f"{origin}: a profile is a mapping, this is a {type(content).__name__}.")
    problems = rule_problems(content)
    profile = None
    try:
        profile = Profile.model_validate(content)
    except ValidationError as error:
        problems = list(validation_problems(error, Profile)) + problems
    if problems or profile is None:
        raise ConfigError(
            f"{origin}: {len(problems)} fault{'s' if len(problems) > 1 else ''} in the profile.",
            problems=problems,
            hint="hardware_profiles/README.md explains every field.",
        )
    return profile

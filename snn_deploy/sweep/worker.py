"""A process that runs trials: a line of JSON comes in for each, a line of JSON goes out.

::

    in   {"recipe": {...}, "folder": "...", "profile": "...", "samples": 64, "device": "cpu"}
    out  {"figures": {...}}  or  {"error": "...", "interrupted": false}

It ends when its input ends, and when the process that started it is gone.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from snn_deploy.core.errors import InterruptedRunError, SnnDeployError
from snn_deploy.recipes.recipe import parse_recipe
from snn_deploy.sweep.trial import run_trial


def serve() -> None:
    """Answer lines until there are no more. What trials print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    parent = os.getppid()

    def alive(_event: Any) -> None:
        if os.getppid() != parent:
            os._exit(1)

    for line in sys.stdin:
        answer = _answer(json.loads(line), alive)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(wanted: dict[str, Any], alive: Any) -> dict[str, Any]:
    try:
        recipe = parse_recipe(wanted["recipe"], origin="trial")
        figures = run_trial(
            recipe,
            Path(wanted["folder"]),
            profile=wanted["profile"],
            samples=wanted["samples"],
            device=wanted["device"],
            report=alive,
        )
    except (InterruptedRunError, KeyboardInterrupt) as error:
        return {"error": str(error), "interrupted": True}
    except SnnDeployError as error:
        return {"error": str(error), "interrupted": False}
    except Exception as error:  # noqa: BLE001 - one trial may fail; its traceback is in the worker's log
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}", "interrupted": False}
    return {"figures": figures}


if __name__ == "__main__":
    serve()

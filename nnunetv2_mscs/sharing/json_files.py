"""JSON objects in files that anybody may have written."""

import json
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError

# Fingerprints and metrics of thousands of cases are smaller.
LARGEST_BYTES = 200_000_000


def parse_json(content: bytes | str) -> dict[str, Any]:
    """A JSON object. Raises ValueError if it is none, or nested so deep that it cannot be read."""
    try:
        parsed = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(parsed, dict):
        raise ValueError("it is no JSON object")
    return parsed


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object in a file. Raises MscsError if it is none."""
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise ValueError("it is too large")
        return parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MscsError(f"{file} cannot be read: {reason}.", "Is the model complete?") from error


def read_json_if_there(file: Path) -> dict[str, Any]:
    """A JSON object in a file; empty if there is none that can be read."""
    try:
        return read_json(file)
    except MscsError:
        return {}

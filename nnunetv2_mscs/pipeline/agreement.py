"""Nothing that is finished, or somebody else's, goes before its owner has agreed."""

import sys
from collections.abc import Mapping

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.state.standing import Standing


def what_goes(stands: Mapping[str, Standing]) -> list[str]:
    """A line for every stage that has to be done again, with its reason and what it replaces; empty if none has."""
    lines = []
    for standing in stands.values():
        if standing.removes:
            more = f" and {len(standing.removes) - 1} more" if len(standing.removes) > 1 else ""
            condition = "if that changes what it reads, " if standing.uncertain else ""
            place = "/".join(standing.removes[0].parts[-3:])
            lines.append(f"  {standing.stage.title}: {standing.reason}; {condition}replaces {place}{more}")
    return lines


def agree(stands: Mapping[str, Standing], *, yes: bool) -> None:
    """Say what is to be replaced, and ask for agreement where somebody can answer.

    Raises:
        MscsError: there is no agreement.
    """
    lines = what_goes(stands)
    if not lines:
        return
    print("To be done again:\n" + "\n".join(lines), flush=True)
    if yes:
        return
    if sys.stdin is not None and sys.stdin.isatty():
        print("Go on? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
        raise MscsError("Nothing was changed.", "")
    raise MscsError("What is there would be replaced; nothing was changed.", "Agree with --yes.")

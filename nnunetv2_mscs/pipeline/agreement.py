"""Nothing that is finished, or somebody else's, goes before its owner has agreed."""

import sys
from collections.abc import Mapping

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.standing import NOT_YET, Standing


def what_goes(stands: Mapping[str, Standing]) -> list[str]:
    """A line for every stage that has to be done again, with its reason and what it replaces; empty if none has."""
    lines = []
    for standing in stands.values():
        if standing.removes and not standing.uncertain:
            more = f" and {len(standing.removes) - 1} more" if len(standing.removes) > 1 else ""
            lines.append(f"  {standing.stage.title}: {standing.reason}; replaces {standing.removes[0]}{more}")
    return lines


def what_may_go(stands: Mapping[str, Standing]) -> list[str]:
    """A line for every stage that has to be done again if one before it makes something else than it did before."""
    return [
        f"  {standing.stage.title}: {standing.reason}"
        for standing in stands.values()
        if standing.removes and standing.uncertain
    ]


def what_is_new(stands: Mapping[str, Standing]) -> str:
    """In words, the trainings that have not begun yet; empty if there are none."""
    new = [standing.stage.title for standing in stands.values() if standing.what == NOT_YET and standing.stage.training]
    return f"{len(new)} trainings, from {new[0]} to {new[-1]}" if len(new) > 1 else "".join(new)


def agree(stands: Mapping[str, Standing], *, yes: bool) -> bool:
    """Say what is to be replaced, and ask for agreement where somebody can answer.

    Returns:
        Whether there is agreement to all of it. Without, and without anything that has to go for certain, the run may
        go on as far as what is there stays.

    Raises:
        MscsError: there is no agreement.
    """
    lines, perhaps = what_goes(stands), what_may_go(stands)
    if lines:
        print("To be done again:\n" + "\n".join(lines), flush=True)
    if perhaps:
        print("To be done again only if what they read has then changed:\n" + "\n".join(perhaps), flush=True)
    if yes or not lines:
        return yes
    if new := what_is_new(stands):
        print(f"To be done for the first time: {new}", flush=True)
    if sys.stdin is not None and sys.stdin.isatty():
        print("Go on? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return True
        raise MscsError("Nothing was changed.", "")
    raise MscsError("What is there would be replaced; nothing was changed.", "Agree with --yes.")

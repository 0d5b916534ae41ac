"""The weights that come with the package."""

from pathlib import Path

from nnunetv2_mscs.errors import MscsError, did_you_mean

SHIPPED = "synthetic"
FOLDER = Path(__file__).parent / "shipped_weights"


def shipped_folder(name: str = SHIPPED) -> Path:
    """The model folder of the weights of a name.

    Raises:
        MscsError: there are none of this name.
    """
    names = sorted(path.name for path in FOLDER.iterdir() if path.is_dir()) if FOLDER.is_dir() else []
    if name not in names:
        remedy = did_you_mean(name, names) or f"Known are {', '.join(names) or 'none'}."
        raise MscsError(f"No weights called {name} come with this package.", remedy.strip())
    return FOLDER / name


def place_of(model: str | Path) -> Path:
    """Where a model lies: the weights of this package by their name, any other by its path."""
    return shipped_folder() if str(model) == SHIPPED else Path(model)

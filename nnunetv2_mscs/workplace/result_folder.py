"""A command's folder of results appears at its place as a whole, or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.hidden_places import NEW, clear_leftovers, hidden_place, made, replace_folder
from nnunetv2_mscs.workplace.whole_files import writing


@dataclass(frozen=True)
class ResultFolder:
    """The kind of folder that a command writes, and how an older one of this kind is recognised.

    Args:
        kind: a name for people, such as "a set of phantoms".
        marks: files that every such folder holds; --overwrite replaces no folder without them.
        prefix: of the hidden place beside it where it is built.
        refusal: why a folder with these files must not be replaced all the same, such as by something in it that the
            command did not write; empty if it may.
    """

    kind: str
    marks: tuple[str, ...]
    prefix: str
    refusal: Callable[[Path], str] = lambda _: ""

    def check(self, out: Path, *, overwrite: bool) -> None:
        """Raise MscsError unless `out` is free: not there, or an empty folder, or one of its kind to replace."""
        if out.is_symlink() and not out.exists():
            raise MscsError(
                f"{out} is a link to a place that is not there.", "Remove the link, or choose another folder."
            )
        if not out.exists():
            return
        if not out.is_dir():
            raise MscsError(f"{out} is a file, not a folder.", "Choose another folder.")
        if not any(out.iterdir()):
            return
        if not overwrite:
            raise MscsError(f"{out} is not empty.", f"Choose another folder, or replace {self.kind} with --overwrite.")
        missing = next((mark for mark in self.marks if not (out / mark).is_file()), None)
        refusal = f"is not {self.kind} (it has no {missing})" if missing else self.refusal(out)
        if refusal:
            raise MscsError(
                f"{out} {refusal}, so that --overwrite leaves it alone.",
                "See what it holds and move it away, or choose another folder.",
            )

    @contextmanager
    def staged(self, out: Path, *, overwrite: bool) -> Iterator[Path]:
        """A hidden folder beside `out` to build in; it becomes `out` if the block succeeds, else it is removed.

        A killed process leaves it there; the next command beside it removes it.
        """
        out = out.resolve()
        self.check(out, overwrite=overwrite)
        with writing(out), made(out.parent):
            clear_leftovers(out.parent, self.prefix)
            with hidden_place(out.parent, self.prefix) as place:
                new = place / NEW
                new.mkdir()
                yield new
                self.check(out, overwrite=overwrite)
                if out.exists():
                    replace_folder(out, new, place)
                else:
                    new.rename(out)

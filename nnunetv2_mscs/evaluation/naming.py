"""Which mask is of which case where names differ by spelling, by words such as `pred`, or all by the same letters."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from nnunetv2_mscs.scans.words import PREDICTION_WORDS, SEPARATORS, joined, without_copy_mark, words_of


@dataclass(frozen=True)
class Matched:
    """Names that stand for a case of another name.

    Args:
        cases: the case of each name that has one.
        unclear: for a case, the names that may all stand for it.
        affix: what all other names have in front and behind, beside their case; empty if they have nothing in common.
    """

    cases: dict[str, str] = field(default_factory=dict)
    unclear: dict[str, list[str]] = field(default_factory=dict)
    affix: tuple[str, str] = ("", "")


def match_names(names: Collection[str], cases: Collection[str]) -> Matched:
    """Find the case of each name that is not itself a case's.

    A name and a case belong together if they are the same but for capital letters, accents and separators; or, if that
    leaves some, but for words that masks and predictions are called by. Matches are one to one: where two names may
    stand for a case, or two cases for a name, neither is taken.
    """
    left = sorted(name for name in names if name not in cases)
    free = sorted(case for case in cases if case not in names)
    found: dict[str, str] = {}
    unclear: dict[str, list[str]] = {}
    for key in (_spelling, _without_words):
        by_key = _grouped(free, key)
        for value, same in _grouped(left, key).items():
            candidates = by_key.get(value, [])
            if value and len(same) == len(candidates) == 1:
                found[same[0]] = candidates[0]
            elif value and candidates:
                unclear |= dict.fromkeys(candidates, same)
        left = [name for name in left if name not in found]
        free = [case for case in free if case not in found.values()]
    return Matched(found, {case: same for case, same in unclear.items() if case in free}, _common_affix(left, free))


def _grouped(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return dict(groups)


def _spelling(name: str) -> str:
    """What the spellings of one name share."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    return re.sub(rf"[{SEPARATORS}]+", "_", plain.casefold()).strip("_")


def _without_words(name: str) -> str:
    """The spelling without words such as mask, seg or pred, and without the mark of a copy."""
    words = words_of(without_copy_mark(name))
    kept = [word for word in words if word.kind != "mask" and not PREDICTION_WORDS.fullmatch(word.text.lower())]
    return _spelling(joined(kept))


def _common_affix(names: Sequence[str], cases: Sequence[str]) -> tuple[str, str]:
    """The prefix and the suffix that all names add to a case each, if every case is among them."""
    if not names or len(names) != len(cases):
        return "", ""
    for case in cases:
        at = names[0].find(case)
        if at < 0:
            continue
        before, behind = names[0][:at], names[0][at + len(case) :]
        if sorted(f"{before}{one}{behind}" for one in cases) == sorted(names):
            return before, behind
    return "", ""

"""Assign files to cases, channels and masks by the names of all files together.

Names are read strictly first: the case, then the channel as the last word. If that leaves files without a partner, the
words of the vocabulary may be anywhere in the name, and the reading that gives most files a place is chosen. So a name
that the strict reading understands keeps its case.
"""

import functools
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple

from nnunetv2_mscs.dataset_conversion.cases import clean_name
from nnunetv2_mscs.dataset_conversion.file_names import (
    ImageName,
    KnownCases,
    parse_image_name,
    without_mask_words,
)
from nnunetv2_mscs.scans.words import (
    ADC,
    DWI,
    HEAD_WORDS,
    LESION_WORDS,
    SEPARATORS,
    Word,
    channel_of_words,
    copy_number,
    has_copy_mark,
    is_like_dwi,
    joined,
    words_of,
)


class Image(NamedTuple):
    """An image file: its name without ending, and the channel and name of its folder if that says a channel."""

    stem: str
    channel: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Reading:
    """The cases and channels that the names of all files say.

    Args:
        images: case and channel of each image.
        masks: the case of each mask.
        passed_over: words that were passed over; empty for the strict reading.
        example: one name and its reading, if words of the vocabulary were accepted anywhere in names; else empty.
    """

    images: Sequence[ImageName]
    masks: Sequence[str]
    passed_over: Collection[str] = field(default_factory=frozenset)
    example: str = ""

    @property
    def wide(self) -> bool:
        return bool(self.example)


def read_names(
    images: Sequence[Image], masks: Sequence[str] | None = None, channel_names: Sequence[str] = ()
) -> Reading:
    """Read the names of all images, and of all masks, of a folder.

    Args:
        images: of all cases.
        masks: stems of the masks; None if the images have no masks.
        channel_names: the user's own channel names.
    """
    channel_names = tuple(channel_names)
    strict = _strict(images, masks or (), channel_names)
    best, least = strict, _problems(strict, images, masks, channel_names)
    if least == (0, 0) and masks is not None:
        return strict
    settled = _settled(strict, images, channel_names) if masks is not None else frozenset()
    for series, shared in product((False, True), repeat=2):
        wide = _wide(images, masks or (), channel_names, strict, settled, series=series, shared=shared)
        problems = _problems(wide, images, masks, channel_names)
        if problems < least:
            best, least = wide, problems
    return best


def _strict(images: Sequence[Image], masks: Sequence[str], channel_names: tuple[str, ...]) -> Reading:
    """Read a name strictly: the case first, then its channel as the last word, as a number, or as the folder's name."""
    beside = frozenset(image.stem for image in images if not image.channel)
    named = [_strict_name(image, beside, (), channel_names) for image in images]
    cases = KnownCases(set(named), {image.stem for image in images}, channel_names)
    of_masks = [cases.of_mask(stem) for stem in masks]
    known = frozenset(of_masks)
    return Reading([_strict_name(image, beside, known, channel_names) for image in images], of_masks)


def _strict_name(
    image: Image, beside: Collection[str], masks: Collection[str], channel_names: tuple[str, ...]
) -> ImageName:
    if not image.channel:
        return parse_image_name(image.stem, mask_names=masks, siblings=beside, channel_names=channel_names)
    parsed = parse_image_name(image.stem, mask_names=masks, channel_names=channel_names)
    return ImageName(parsed.case if parsed.channel in ("", image.channel) else image.stem, image.channel, image.folder)


def _settled(strict: Reading, images: Sequence[Image], channel_names: tuple[str, ...]) -> frozenset[str]:
    """Cases that the strict reading gives a mask and every channel once: they stay as they are."""
    channels = {name.channel for name in strict.images if name.channel} or {""}
    of_case = _by_case(strict, images)
    return frozenset(
        case
        for case in set(strict.masks) & set(of_case)
        if {name.channel for name, _ in of_case[case]} >= channels
        and all(name.channel or not channel_of_words(words_of(stem, channel_names)) for name, stem in of_case[case])
        and not _doubled(of_case[case])
        and not any(_contradicts(name, stem, channel_names) for name, stem in of_case[case])
    )


def _by_case(reading: Reading, images: Sequence[Image]) -> dict[str, list[tuple[ImageName, str]]]:
    """The names of the images of each case, with their stems."""
    of_case: dict[str, list[tuple[ImageName, str]]] = defaultdict(list)
    for name, image in zip(reading.images, images, strict=True):
        of_case[name.case].append((name, image.stem))
    return of_case


def _wide(
    images: Sequence[Image],
    masks: Sequence[str],
    channel_names: tuple[str, ...],
    strict: Reading,
    settled: Collection[str],
    *,
    series: bool,
    shared: bool,
) -> Reading:
    """Words of the vocabulary anywhere in the names.

    Args:
        images, masks, channel_names: as of `read_names`.
        strict: the strict reading, for images without such a word.
        settled: cases that keep the strict reading.
        series: whether numbers behind the channel are of series, as dcm2niix adds them, and not of cases.
        shared: words that the names of all images of a channel, or of all masks, share say nothing of the case.
    """
    words = [words_of(image.stem, channel_names) for image in images]
    channels = [image.channel or channel_of_words(found) for image, found in zip(images, words, strict=True)]
    common = _shared_words(channels, words) if shared else {}
    dropped: set[str] = set()
    named: list[ImageName] = []
    for image, found, channel, as_strict in zip(images, words, channels, strict.images, strict=True):
        kept = _case_words(found, channel, image, common.get(channel, Counter()), series=series)
        case = joined(kept) or copy_number(image.stem) or _number_of_dwi(found)
        if not channel or as_strict.numbered or not case or as_strict.case in settled:
            named.append(as_strict)
            continue
        token = image.folder or next((word.text for word in found if word.channel), channel)
        named.append(ImageName(case, channel, token))
        dropped |= {word.text for word in found if word not in kept and not word.channel}
    named = _spelled_alike(named)
    cases = {_key(name.case): name.case for name in named}
    words_of_masks = [words_of(stem, channel_names) for stem in masks]
    alike = _shared_words([""] * len(masks), words_of_masks).get("", Counter()) if shared else Counter()
    of_masks = []
    for stem, found, strict_case in zip(masks, words_of_masks, strict.masks, strict=True):
        if strict_case in settled:
            of_masks.append(strict_case)
            continue
        candidates = list(_mask_candidates(stem, found, alike, series=series))
        fitting = next((cases[_key(name)] for name in candidates if _key(name) in cases), candidates[0])
        of_masks.append(fitting)
        if fitting in cases.values():
            dropped |= {word.text for word in found if word.kind == "case" and word.text not in fitting}
    example = _example(images, named, masks, of_masks, strict)
    return Reading(named, of_masks, frozenset(dropped), example)


def _number_of_dwi(words: Sequence[Word]) -> str:
    """The number behind DWI, as in DWI3; it is the case's where a name has no other word for that."""
    numbered = [word.text for word in words if re.fullmatch(r"dwi\d", word.text.lower())]
    return numbered[0][-1] if numbered else ""


def _example(
    images: Sequence[Image], named: Sequence[ImageName], masks: Sequence[str], cases: Sequence[str], strict: Reading
) -> str:
    """The reading of the first image, or else mask, that the strict reading had taken for something else."""
    for image, name, former in zip(images, named, strict.images, strict=True):
        if name != former and name.channel:
            return f"{image.stem} is the {name.channel} of {name.case}"
    for stem, case, former_case in zip(masks, cases, strict.masks, strict=True):
        if case != former_case:
            return f"{stem} is the mask of {case}"
    return ""


def _shared_words(channels: Sequence[str], words: Sequence[Sequence[Word]]) -> dict[str, Counter[str]]:
    """Words about the case that the names of all files of a channel share, if it has several, and how often each."""
    groups: dict[str, list[Counter[str]]] = defaultdict(list)
    for channel, found in zip(channels, words, strict=True):
        groups[channel].append(Counter(word.text.lower() for word in found if word.kind in ("case", "mask")))
    return {channel: functools.reduce(operator.and_, counts) for channel, counts in groups.items() if len(counts) > 1}


def _without_shared(words: Sequence[Word], common: Counter[str]) -> list[Word]:
    """The words without the shared ones: the last of those that occur more often, as the case's own stand in front."""
    left, kept = Counter(common), []
    for word in reversed(words):
        if left[word.text.lower()]:
            left[word.text.lower()] -= 1
        else:
            kept.append(word)
    return kept[::-1]


def _case_words(words: Sequence[Word], channel: str, image: Image, common: Counter[str], *, series: bool) -> list[Word]:
    """The words that name the case; numbers behind the channel count only if no other word names it."""
    kept = _without_shared([word for word in words if word.kind in ("case", "mask")], common)
    if image.channel:
        kept += [word for word in words if word.channel and word.channel != channel and not _is_akin(word, channel)]
        kept.sort(key=list(words).index)
    if not series:
        return kept
    at = next((i for i, word in enumerate(words) if word.channel), len(words))
    behind = [word for word in words[at:] if re.fullmatch(r"\d+[a-z]?", word.text.lower())]
    return [word for word in kept if word not in behind] or kept


def _is_akin(word: Word, channel: str) -> bool:
    """Whether a word for one diffusion image is in the folder of another: DWI in the folder of ADC or of b-values."""
    return all(name in (ADC, DWI, "B0") or is_like_dwi(name) for name in (word.channel, channel))


def _mask_candidates(stem: str, words: Sequence[Word], common: Counter[str], *, series: bool) -> Iterator[str]:
    """The names that the case of a mask may have, the least reduced name first."""
    yield from without_mask_words(stem)
    of_lesion = any(word.kind == "mask" and LESION_WORDS.fullmatch(word.text.lower()) for word in words)
    left = [_of_head(word) if not of_lesion else word for word in words]
    left = [word for word in left if word.kind != "passed over"]
    named = [word for word in left if not word.channel]
    yield joined(named)
    while named and named[-1].kind == "mask":
        named = named[:-1]
        yield joined(named)
    while named and named[0].kind == "mask":
        named = named[1:]
        yield joined(named)
    named = [word for word in left if word.kind == "case"]
    yield joined(named)
    if series:
        at = next((i for i, word in enumerate(left) if word.channel), len(left))
        behind = [word for word in left[at:] if re.fullmatch(r"\d+[a-z]?", word.text.lower())]
        named = [word for word in named if word not in behind] or named
        yield joined(named)
    yield joined(_without_shared(named, common))
    if not named:
        yield copy_number(stem)


def _of_head(word: Word) -> Word:
    """The word; a word for the brain or the head stays part of the name, as such a mask is not of a lesion."""
    return word._replace(kind="case") if HEAD_WORDS.fullmatch(word.text.lower()) else word


def _spelled_alike(names: Sequence[ImageName]) -> list[ImageName]:
    """The same readings with one spelling per case: capital letters, accents and separators make no difference."""
    spelling: dict[str, str] = {}
    for name in names:
        spelling.setdefault(_key(name.case), name.case)
    return [replace(name, case=spelling[_key(name.case)]) for name in names]


def _key(case: str) -> str:
    """The form that all spellings of a case share."""
    return re.sub(rf"[{SEPARATORS}]+", "_", clean_name(case).lower()).strip("_") or case.lower()


def _problems(
    reading: Reading, images: Sequence[Image], masks: Sequence[str] | None, channel_names: tuple[str, ...]
) -> tuple[int, int]:
    """How badly a reading fits: the number of files without a place, and of cases with images but no mask."""
    of_case = _by_case(reading, images)
    wrong = sum(
        _contradicts(name, image.stem, channel_names) for name, image in zip(reading.images, images, strict=True)
    )
    wrong += sum(_doubled(names) for names in of_case.values())
    if masks is None:
        return wrong, len(of_case)
    with_mask = Counter(reading.masks)
    wrong += sum(len(names) for case, names in of_case.items() if case not in with_mask)
    wrong += sum(count for case, count in with_mask.items() if case not in of_case)
    channels = {name.channel for name in reading.images}
    wrong += sum(len(channels - {name.channel for name, _ in names}) for names in of_case.values())
    return wrong, 0


def _doubled(names: Sequence[tuple[ImageName, str]]) -> int:
    """The number of surplus images of a case; a copy beside its original does not count, nor a DWI beside DWI2."""
    counts: Mapping[str, int] = Counter(name.channel for name, stem in names if not has_copy_mark(stem))
    if any(name.token.lower() == "dwi2" for name, _ in names):
        counts = {channel: count for channel, count in counts.items() if channel != DWI}
    unnamed_beside = int("" in counts and len(counts) > 1)
    return sum(count - 1 for count in counts.values()) + unnamed_beside


def _contradicts(name: ImageName, stem: str, channel_names: tuple[str, ...]) -> bool:
    """Whether a BIDS key, as in acq-ADC_dwi, says that an image is another channel than it was taken for."""
    if "-" not in stem:
        return False
    words = words_of(stem, channel_names)
    told = channel_of_words(words) if any(word.in_entity and word.channel for word in words) else ""
    return bool(told) and told != name.channel and not (is_like_dwi(told) and name.channel == DWI)

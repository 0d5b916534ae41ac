"""What a file's name says: the case, the channel, and whether it is a mask."""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import ending_of, is_part_of_another, unread_format, without_ending
from nnunetv2_mscs.scans.words import ADC, DWI, LAST_WORDS, MASK_WORDS, SEPARATORS, channel_of_words, words_of

MASK_SUFFIX = re.compile(rf"[{SEPARATORS}](?:{'|'.join(MASK_WORDS)})$", re.IGNORECASE)
IMAGE_SUFFIX = re.compile(rf"[{SEPARATORS}](?:image|img)$", re.IGNORECASE)
NUMBERED = re.compile(r"(?P<case>.+)_(?P<token>\d{4})")
# How the names of what `mscs convert` itself keeps in nnUNet_raw while it works begin.
HIDDEN = ".mscs-convert"


@dataclass(frozen=True)
class ImageName:
    """The parts of an image file's name.

    Args:
        case: the case's name.
        channel: the channel's name, or "" if the file name says none.
        token: the channel as written, such as "DWI2" or "0001".
    """

    case: str
    channel: str = ""
    token: str = ""

    @property
    def numbered(self) -> bool:
        """Whether the channel is a number, which does not say what the file holds."""
        return self.token.isdigit()


def stem_of(path: Path) -> str:
    """The file's name without the ending of its format, letters composed."""
    return composed(without_ending(path))


def composed(name: str) -> str:
    """The name with each accented letter as one sign, as most systems write it; macOS may write two."""
    return unicodedata.normalize("NFC", name)


def is_passed_over(folder: Path) -> bool:
    """Whether the user did not make a folder: it is hidden, or macOS packed it beside the files."""
    return folder.name.startswith(".") or folder.name == "__MACOSX"


def scan_files(folder: Path, findings: Findings) -> list[Path]:
    """The scans in a folder by name; other files and hidden folders are noted as ignored, with one note per ending."""
    found: list[Path] = []
    ignored: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if (path.is_dir() and not is_passed_over(path)) or is_part_of_another(path) or path.name.startswith(HIDDEN):
            continue
        if ending_of(path) and not is_passed_over(path):
            found.append(path)
        else:
            unread = "" if is_passed_over(path) else unread_format(path)
            kind = "hidden" if is_passed_over(path) else path.suffix or "no ending"
            kind += f": {unread}" if unread else ""
            ignored.setdefault(kind, []).append(path.name)
    for kind, names in ignored.items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        findings.note(f"{len(names)} ignored ({kind}): {shown}", file=folder)
    return found


def channel_name(token: str, channel_names: Sequence[str] = ()) -> str:
    """The channel of a name's last word: adc, dwi, dwi2, flair, or nnU-Net's 0000 (ADC), 0001 (DWI), 0002, ...

    Args:
        token: as written in a file's name, any case.
        channel_names: the user's own names, in the order of nnU-Net's numbers.
    """
    lower = token.lower()
    if lower.isdigit():
        order = list(channel_names) or [ADC, DWI]
        index = int(lower)
        return order[index] if index < len(order) else f"channel_{index}"
    for name in channel_names:
        if name.lower() == lower:
            return name
    return DWI if re.fullmatch(r"dwi\d?", lower) else token.upper()


def folder_channel(name: str, channel_names: Sequence[str] = ()) -> str:
    """The channel that a folder's name says as a whole or with one of its words (ADC map, DWI_b1000), or "".

    A b-value beside the word DWI says how it was acquired, but for b0, which is no DWI.
    """
    if re.fullmatch(r"\d{4}", name) or name.lower() in {given.lower() for given in channel_names}:
        return channel_name(name, channel_names)
    return channel_of_words(words_of(name, tuple(channel_names)))


def parse_image_name(
    stem: str, *, mask_names: Collection[str] = (), siblings: Collection[str] = (), channel_names: Sequence[str] = ()
) -> ImageName:
    """Split an image's stem into case and channel.

    A stem that is a mask's own name is a case as a whole. Numbers such as _0001 are channels only where a sibling
    file ends in _0000, so that case names may end in numbers.

    Args:
        stem: name without ending.
        mask_names: names of the cases that have masks, see `KnownCases`.
        siblings: stems of all images of the folder.
        channel_names: the user's own channel names.
    """
    if stem in mask_names:
        return ImageName(stem)
    numbered = NUMBERED.fullmatch(stem)
    if numbered and f"{numbered['case']}_0000" in siblings:
        return ImageName(numbered["case"], channel_name(numbered["token"], channel_names), numbered["token"])
    tokens = "|".join([*(re.escape(name) for name in channel_names), LAST_WORDS])
    named = re.fullmatch(rf"(?P<case>.+?)[{SEPARATORS}](?P<token>{tokens})", IMAGE_SUFFIX.sub("", stem), re.IGNORECASE)
    if named:
        return ImageName(named["case"], channel_name(named["token"], channel_names), named["token"])
    return ImageName(IMAGE_SUFFIX.sub("", stem))


class KnownCases:
    """The cases that a folder's images name, to find each mask's case among them.

    Args:
        images: what the names of all images say.
        stems: the images' own stems.
        channel_names: the user's own channel names.
    """

    def __init__(
        self, images: Collection[ImageName], stems: Collection[str], channel_names: Sequence[str] = ()
    ) -> None:
        sure = {ADC, DWI, *channel_names}
        self._stems = frozenset(stems)
        self._channel_names = channel_names
        self._cases = {name.case for name in images}
        self._with_channels = {name.case for name in images if name.channel in sure and not name.numbered}

    def of_mask(self, stem: str) -> str:
        """The case that a mask's stem names, with or without `_mask`, `_lesion_seg`, ... at its end.

        That is an image's own stem, or its case, or its case and a channel the mask was drawn on. A channel counts as
        such only where ADC, DWI or one of the user's own is named among the images of the case: `p_t1` may be a
        case of one file.

        Args:
            stem: name without ending.
        """
        for candidate in without_mask_words(stem):
            parsed = parse_image_name(candidate, channel_names=self._channel_names)
            if parsed.channel and parsed.case in self._with_channels:
                return parsed.case
            if candidate in self._cases:
                return candidate
            if not parsed.channel and parsed.case in self._cases:
                return parsed.case
            if candidate in self._stems:
                return candidate
        return candidate


def names_channel(stem: str, channel_names: Sequence[str] = ()) -> bool:
    """Whether a mask's stem says on which channel it was drawn."""
    return any(parse_image_name(part, channel_names=channel_names).channel for part in without_mask_words(stem))


def without_mask_words(stem: str) -> Iterator[str]:
    """The stem, and then the stem with one mask word after the other taken from its end."""
    yield stem
    while (shorter := MASK_SUFFIX.sub("", stem)) != stem:
        stem = shorter
        yield stem

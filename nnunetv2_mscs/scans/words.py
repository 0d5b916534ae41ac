"""The words by which files and folders say what they hold: one vocabulary for all layouts and commands."""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

ADC, DWI, B0 = "ADC", "DWI", "B0"
SEPARATORS = r"_\-. "
# What an image's name may always end in. All other words count only where the names fit together no other way.
LAST_WORDS = r"adc|dwi\d?|b0|b\d{3,4}|flair|t1|t1w|t2|t2w|swi|trace|tracew|pwi|cbf|cbv|mtt|tmax|ttp"
MASK_WORDS = ("mask", "msk", "seg", "label", "lesion")

KNOWN_MASK_WORDS = f"{', '.join(MASK_WORDS)}, infarct, stroke, gt or roi"

Kind = Literal["case", "channel", "mask", "passed over"]

ADC_WORDS = re.compile(r"d?adcs?|adc(?:maps?|avg|mean)|(?:avg|mean)adc")
DWI_WORDS = re.compile(
    r"(?:iso|av|avg|mean|s|c)?dwis?\d?|dwi(?:iso|avg|mean|map|image|trace|tracew)|(?:trace|tracew)dwi|dwib?\d{3,4}"
)
# A DWI by the way it was made. Beside the word DWI or ADC they only say how, and a case with a DWI may have them too.
LIKE_DWI_WORDS = re.compile(r"trace(?:w|d|weighted)?|diff(?:usion|w)?|dw|isotropic|highb|b0*[1-9]\d{2,3}")
OTHER_WORDS = re.compile(
    r"b0+|b0*[1-9]\d?|lowb|eadc|expadc|fa|colfa|tensor|(?:t2)?flair|t1(?:w|c|ce|gd|n)?|mprage|t2(?:w|star|s)?|"
    r"swi|swan|swip|gre|pd|pdw|tof|mra|asl|pwi|cbf|cbv|mtt|tmax|ttp|ct|ncct|cta|ctp|bold|sbref"
)
# Words that a case may be called by, too: they say nothing against a scan of one volume that is named by nothing else.
ALSO_OF_CASES = re.compile(r"T1|T2|PD|FA|B\d+")
WIDE_MASK_WORDS = re.compile(
    r"masks?|msk|seg|segm|segs|segmentations?|segmented|labels?|lbl|lesions?|lesionmask|infarcts?|infarctions?|stroke|"
    r"isch[ae]*mi[ac]|core|gt|groundtruth|truth|rois?|vois?|annot|annotations?|annotated|manual|delineations?|contours?|"
    r"outlines?|ot|expert|rater|reader|target|drawn"
)
PREDICTION_WORDS = re.compile(
    r"pred|preds|predict|predicted|predictions?|output|outputs|out|result|results|auto|automatic|ai|nnunet|mscs|model|"
    r"inference|inferred"
)
LESION_WORDS = re.compile(r"lesions?|lesionmask|infarcts?|infarctions?|stroke|isch[ae]*mi[ac]")
NO_LESION_WORDS = r"brain|skull|head"
NOISE_WORDS = re.compile(
    r"maps?|images?|img|imgs|scans?|mri?|vol|volume|series|resampled|resliced|registered|reg|coreg|coregistered|aligned|"
    r"preproc|preprocessed|corrected|n4|denoised|norm|normali[sz]ed|orig|original|native|final|copy|kopie|copie|"
    r"ep2d|epi|iso|se|tra|ax|axial|transversal|weighted|derived|computed|calculated|calc|space|3d|2d|\dscan|mddw|resolve"
)
HEAD_WORDS = re.compile(rf"{NO_LESION_WORDS}|bet|skullstripped|stripped|ss")
# Key and value of a BIDS name: those that say whose scan it is, those that may say what it shows, and others.
CASE_KEYS = ("sub", "ses", "run")
TELLING_KEYS = ("acq", "rec", "desc", "label", "mod", "ce", "trc", "suffix")
OTHER_KEYS = ("space", "from", "to", "ref", "mode", "res", "den", "hemi", "dir", "echo", "part", "task", "chunk", "xfm")
ENTITY = re.compile(rf"({'|'.join((*CASE_KEYS, *TELLING_KEYS, *OTHER_KEYS))})-([^_]*)", re.IGNORECASE)
# Several words that say one thing, and that thing.
PHRASES = (
    (r"(?:exponential|exp)[_\-. ]*(?:adc|apparent[_\-. ]*diffusion[_\-. ]*coeff(?:icient)?s?)", "eadc"),
    (r"apparent[_\-. ]*diffusion[_\-. ]*coeff(?:icient)?s?", "adc"),
    (r"diffusion[_\-. ]*weighted(?:[_\-. ]*(?:image|images|imaging|img))?", "dwi"),
    (r"trace[_\-. ]*weighted", "tracew"),
    (r"high[_\-. ]+b", "highb"),
    (r"low[_\-. ]+b", "lowb"),
    (r"b0*\d{1,2}(?:[_\-. ]+(?:b\d{2,4}|[1-9]\d{1,2}0))+", "bvals"),
    (r"b[_\-. ]*val(?:ue)?[_\-. =]*(?P<bval>\d{1,4})", "b"),
    (r"b[_\-. =]+(?P<b>0|\d{3,4})", "b"),
    (r"ground[_\-. ]*truth", "gt"),
    (r"mm2[_\-. /]s", "unit"),
)
OF_PHRASES: dict[str, Kind] = {"gt": "mask", "unit": "passed over", "bvals": "passed over"}
# A channel's name without a separator, set apart by digits or capital letters: p1ADC, ADC12, scan3Dwi.
GLUED = re.compile(
    r"(?<![A-Za-z])(?:adc|dwi|tracew?|flair)(?:maps?)?(?![a-z])"
    r"|(?<![A-Z])(?:Adc|Dwi|Tracew?|Flair)(?:[Mm]aps?)?(?![a-z])"
    r"|(?:(?<![A-Za-z])(?:exp|avg|mean|iso|[cdes])|(?<![A-Z]))(?:ADC|DWI|TRACEW?|FLAIR)(?:[Mm]aps?)?"
    r"(?=[^A-Za-z]|[A-Z][a-z\d]|[a-z]+\d|$)"
)
COPY_MARK = re.compile(
    r"(?:[_\-. ]*\((?P<number>\d{1,2})\)|[_\-. ]+(?:copy|kopie|copie)(?:[_\-. ]*\(?\d{0,2}\)?)?)$"
    r"|^copy[_\-. ]of[_\-. ]",
    re.IGNORECASE,
)
BREAKS = rf"{SEPARATORS}()\[\]+,="


class Word(NamedTuple):
    """A word of a name.

    Args:
        text: as written.
        before: what separates it from the word before it.
        kind: what it is about.
        channel: the channel it names, if it is about that.
        in_entity: it is the value of a BIDS key, such as acq-ADC.
    """

    text: str
    before: str
    kind: Kind
    channel: str = ""
    in_entity: bool = False


def channel_of_word(word: str) -> str:
    """The channel that a single word names, such as ADC, DWI, B1000, TRACEW, FLAIR; "" if it names none."""
    lower = word.lower()
    if ADC_WORDS.fullmatch(lower):
        return ADC
    if DWI_WORDS.fullmatch(lower):
        return DWI
    if lower in ("lowb",) or re.fullmatch(r"b0+", lower):
        return B0
    if lower == "t2flair":
        return "FLAIR"
    return word.upper() if LIKE_DWI_WORDS.fullmatch(lower) or OTHER_WORDS.fullmatch(lower) else ""


def is_like_dwi(channel: str) -> bool:
    """Whether a channel is a DWI by the way it was made: a trace image, or one of a b-value of 100 or more."""
    return LIKE_DWI_WORDS.fullmatch(channel.lower()) is not None


@functools.lru_cache(maxsize=100_000)
def words_of(stem: str, channel_names: tuple[str, ...] = ()) -> tuple[Word, ...]:
    """The words of a name without its ending, and what each is about; a mark of a copy, such as (1), is left out.

    Args:
        stem: name without ending.
        channel_names: the user's own channel names, which may be of several words.
    """
    stem = without_copy_mark(stem)
    words: list[Word] = []
    position = 0
    while position < len(stem):
        separator = re.compile(rf"[{BREAKS}]*").match(stem, position)
        assert separator is not None
        before, position = separator[0], separator.end()
        entity = ENTITY.match(stem, position) if position == 0 or "_" in before else None
        if entity:
            words += _entity(entity[1].lower(), entity[2], entity[0], before, channel_names)
            position = entity.end()
        elif position < len(stem):
            word = _next_word(stem, position, before, channel_names)
            words.append(word)
            position += len(word.text)
    return tuple(_without_numbers_of_visits(words))


def _without_numbers_of_visits(words: list[Word]) -> list[Word]:
    """T1 and T2 beside a word for a diffusion image number the visits; then they belong to the case."""
    if not any(word.channel in (ADC, DWI) or is_like_dwi(word.channel) for word in words):
        return words
    return [word._replace(kind="case", channel="") if word.channel in ("T1", "T2") else word for word in words]


def _entity(key: str, value: str, text: str, before: str, channel_names: tuple[str, ...]) -> Iterator[Word]:
    if key in CASE_KEYS:
        yield Word(text, before, "case")
    elif key in OTHER_KEYS:
        yield Word(text, before, "passed over")
    else:
        told = [word for word in words_of(value, channel_names) if word.kind in ("channel", "mask")]
        yield from (word._replace(in_entity=True) for word in told)
        if not told:
            yield Word(text, before, "passed over")


def _next_word(stem: str, position: int, before: str, channel_names: tuple[str, ...]) -> Word:
    bounded = rf"(?=[{BREAKS}]|$)"
    for name in channel_names:
        if found := re.compile(re.escape(name) + bounded, re.IGNORECASE).match(stem, position):
            return Word(found[0], before, "channel", name)
    for phrase, meaning in PHRASES:
        if found := re.compile(phrase + bounded, re.IGNORECASE).match(stem, position):
            word = meaning + next((value for value in found.groupdict().values() if value), "")
            channel = channel_of_word(word)
            return Word(found[0], before, "channel" if channel else OF_PHRASES[meaning], channel)
    found = re.compile(rf"[^{BREAKS}]+").match(stem, position)
    assert found is not None
    text = _without_glued(found[0])
    if channel_of_word(text):
        return Word(text, before, "channel", channel_of_word(text))
    if WIDE_MASK_WORDS.fullmatch(text.lower()):
        return Word(text, before, "mask")
    noise = NOISE_WORDS.fullmatch(text.lower()) or HEAD_WORDS.fullmatch(text.lower())
    return Word(text, before, "passed over" if noise else "case")


def _without_glued(text: str) -> str:
    """The text as far as it is one word: up to a channel's name that stands in it without a separator, or that name."""
    if channel_of_word(text) or not (glued := GLUED.search(text)):
        return text
    return text[: glued.start()] or glued[0]


def channel_of_words(words: Sequence[Word]) -> str:
    """The one channel that the words of a name say together, or "" if they say none or several.

    A b-value, trace or diffusion beside ADC or DWI says how that was made, but b0 is no DWI. ADC after DWI, or as the
    value of a BIDS key, is the ADC of that DWI; DWI after ADC may be either.
    """
    found = [word for word in words if word.channel]
    names = {word.channel for word in found}
    if "EADC" in names or "EXPADC" in names:
        return "EADC"
    if ADC in names and DWI in names:
        first_adc = next(i for i, word in enumerate(found) if word.channel == ADC)
        first_dwi = next(i for i, word in enumerate(found) if word.channel == DWI)
        if not (found[first_adc].in_entity or first_dwi < first_adc):
            return ""
        names -= {DWI}
    if ADC in names:
        names = {name for name in names if not is_like_dwi(name) and not re.fullmatch(r"B\d+", name)}
    if "B0" in names:
        names = {name for name in names if name != DWI and not is_like_dwi(name)}
    if DWI in names:
        names = {name for name in names if not is_like_dwi(name)}
    if "FLAIR" in names:
        names -= {"T2"}
    like = {name for name in names if is_like_dwi(name)}
    if len(like) > 1 and like == names:
        # All of one image: the b-value says most.
        return max(like, key=lambda name: (name.startswith("B") and name[1:].isdigit(), name))
    return names.pop() if len(names) == 1 else ""


def joined(words: Sequence[Word]) -> str:
    """Words put together again with what separates them in the name."""
    text = "".join(word.before + word.text if i else word.text for i, word in enumerate(words))
    return text.strip(" _-.+,=")


def without_copy_mark(stem: str) -> str:
    """The name without what a file manager adds to that of a copy: (1), - Copy, Copy of."""
    while (shorter := COPY_MARK.sub("", stem)) and shorter != stem:
        stem = shorter
    return stem


def copy_number(stem: str) -> str:
    """The number in the mark of a copy, or ""; where a name has no other word for the case, it is the case's."""
    found = COPY_MARK.search(stem)
    return (found["number"] or "") if found else ""


def has_copy_mark(stem: str) -> bool:
    return without_copy_mark(stem) != stem


def hidden_channel(stem: str) -> str:
    """The channel that the name of a scan of one volume says somewhere, or "".

    Words that may be a case's name, such as t1 for its first scan, do not count.
    """
    channel = channel_of_words(words_of(stem))
    if ALSO_OF_CASES.fullmatch(channel):
        return ""
    return DWI if is_like_dwi(channel) else channel

"""The colours of all pictures, from Okabe and Ito's palette, which the colour-blind tell apart."""

TRUTH = "#56B4E9"
PREDICTION = "#D55E00"
# What only the truth holds, and what only the prediction holds, has the colour of its contour; what both hold a third.
# No triple of the palette lies farther apart, laid over any grey, for the three kinds of colour blindness.
FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE = TRUTH, PREDICTION, "#F0E442"
MODELS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
NEUTRAL = "#555555"


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a colour such as "#56B4E9"."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def of_model(index: int) -> str:
    """The colour of the index-th model of a plot; they come again after six, so plots tell models by name as well."""
    return MODELS[index % len(MODELS)]

"""The colours of all pictures, from Okabe and Ito's palette, which people with colour blindness can distinguish."""

TRUTH = "#56B4E9"
PREDICTION = "#D55E00"
# Voxels of the truth alone, and of the prediction alone, have the colour of its contour; voxels of both a third one.
# No three colours of the palette, laid over any grey, differ more for the three kinds of colour blindness.
FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE = TRUTH, PREDICTION, "#F0E442"
MODEL_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
NEUTRAL = "#555555"
BLACK, WHITE, GREY = "#000000", "#ffffff", "#a0a0a0"


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a colour such as "#56B4E9"."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def of_model(index: int) -> str:
    """The colour of the index-th model of a plot; they repeat after six models, so plots also name the models."""
    return MODEL_COLOURS[index % len(MODEL_COLOURS)]

"""The one family of errors that are the user's to mend: each says what was found and what to do."""


class MscsError(Exception):
    """A failure that the user can mend; the command line prints it as one line, without a traceback.

    Args:
        finding: what is wrong, naming the file, shape or value it was found in.
        remedy: what the user can do about it.
    """

    def __init__(self, finding: str, remedy: str = ""):
        self.finding = finding
        self.remedy = remedy
        super().__init__(f"{finding} {remedy}".strip())

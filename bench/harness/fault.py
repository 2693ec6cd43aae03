"""What went wrong, said once, at the end."""


class Fault(Exception):
    """A sentence for people; `log` is what the program at fault had written."""

    def __init__(self, text, log=""):
        super().__init__(text)
        self.log = log

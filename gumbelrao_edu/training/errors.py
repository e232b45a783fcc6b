"""What keeps a command from its runs; apart, since the command line does without pandas."""


class BackendError(RuntimeError):
    """A cluster that is not named or does not answer, or the package for it that is missing."""


class TakenOverError(RuntimeError):
    """A newer command works in the folder, or the command that this run belongs to has ended."""

"""What keeps a command from its runs, and a run from its end."""


class BackendError(RuntimeError):
    """A cluster that is not named or does not answer, or the package for it that is missing."""


class TakenOverError(RuntimeError):
    """A newer command works in the folder, or the command that this run belongs to has ended."""


class LimitReachedError(RuntimeError):
    """A command was stopped after the time that it was given."""


class TrainingDivergedError(ArithmeticError):
    """The loss, its gradient, or what was computed with the trained model is not finite."""


class DamagedFileError(ValueError):
    """A file that was cut off or changed, or is not of the kind that its name says."""


class OtherSettingsError(ValueError):
    """A file is whole, but of a computation with other settings."""


class DamagedFileWarning(UserWarning):
    """A damaged file was set aside; what it held is computed again."""

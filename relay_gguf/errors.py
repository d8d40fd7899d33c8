"""Every error that a user may see.

    RelayError
    ├── ModelError       the file is missing, broken, of an unknown kind, or lacks ChatML tokens
    │   └── MemoryShortError  the model does not fit into this machine's memory
    ├── WorkerError      another machine that should lend its devices does not answer, or cannot
    ├── EngineError      llama.cpp could not evaluate a prompt
    ├── ContextError     a message, bio or topic is longer than the context holds
    ├── CommandError     a typed command is wrong, or cannot be done now
    │   └── CardError        a character card cannot be read
    ├── StoreError       a session or an installed file cannot be read, written or locked
    ├── ConversionError  base, adapter or checkpoint cannot be read, or do not fit together
    ├── CalibrationError a text to calibrate with cannot be used, or no imatrix be written
    ├── QualityError     files, logits or texts that cannot be compared
    └── SettingsError    an option or a line of the config file is wrong

A message says what happened, where, and what to do next, in one line: the command line shows it
as it is and exits with 1; the chat shows `CommandError`, `ContextError`, `StoreError` and
`EngineError` as notices and goes on.
"""


class RelayError(Exception):
    """The root of the tree; its text is meant for the user."""


class ModelError(RelayError):
    """The model file is missing, broken, of an unknown kind, or lacks ChatML tokens."""


class MemoryShortError(ModelError):
    """The model does not fit into this machine's memory."""


class WorkerError(RelayError):
    """Another machine that should lend its devices does not, or cannot; names its address."""


class EngineError(RelayError):
    """llama.cpp could not evaluate a prompt."""


class ContextError(RelayError):
    """A message, bio or topic is longer than the context holds."""


class CommandError(RelayError):
    """A typed command is wrong, or cannot be done now."""


class CardError(CommandError):
    """A file that should hold a character card is missing, damaged or something else."""


class StoreError(RelayError):
    """A session or an installed file cannot be read, written or locked."""


class ConversionError(RelayError):
    """Base, adapter or checkpoint cannot be read, or do not fit together; names the tensor."""


class CalibrationError(RelayError):
    """A text to calibrate with cannot be used, or an importance matrix cannot be written."""


class QualityError(RelayError):
    """Files, logits or texts that cannot be compared; says which, and what would do."""


class SettingsError(RelayError):
    """An option or a line of the config file is wrong."""

"""What is said of errors that end a command, in the place of a traceback."""


def explained(error: Exception) -> str:
    """Say what is wrong, and what to do.

    Args:
        error: What ended a command.

    Returns:
        A sentence.

    Example:
        >>> explained(FileNotFoundError(2, "No such file or directory", "digits.npz"))
        'expected to use digits.npz, got: No such file or directory; check the path, or choose another'
    """
    return _explained_system(error) if isinstance(error, OSError) else str(error)


def _explained_system(error: OSError) -> str:
    """Leave out the number; what comes without a file is a whole sentence, which names it where there is one."""
    if error.filename is None or error.strerror is None:
        return error.strerror or str(error)
    return f"expected to use {error.filename}, got: {error.strerror}; check the path, or choose another"

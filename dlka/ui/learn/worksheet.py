"""The printable worksheet."""


def worksheet(answers: bool) -> str:
    return ""

"""The form of a reporting checklist."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Checklist:
    """A checklist: short name, what it is, and items (number, topic, key of
    `checklist_answers.facts` or "")."""

    name: str
    title: str
    items: tuple[tuple[str, str, str], ...]

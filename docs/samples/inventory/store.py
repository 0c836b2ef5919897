"""A small stock-keeping store; the demo completes lines of this file."""

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)


class OutOfStockError(Exception):
    """More was asked for than there is."""


@dataclass
class Item:
    name: str
    quantity: int
    unit_price: float
    tags: list[str] = field(default_factory=list)

    @property
    def value(self) -> float:
        return self.quantity * self.unit_price


class Store:
    """Items by name, with the few operations that a shop needs."""

    def __init__(self, name: str, currency: str = "EUR") -> None:
        self.name = name
        self.currency = currency
        self.items: dict[str, Item] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items.values())

    def add(self, name: str, quantity: int, unit_price: float) -> Item:
        if quantity < 0:
            raise ValueError(f"quantity must not be negative, got {quantity}")
        item = self.items.get(name)
        if item is None:
            item = Item(name, quantity, unit_price)
            self.items[name] = item
        else:
            item.quantity += quantity
            item.unit_price = unit_price
        logger.info("added %d of %s", quantity, name)
        return item

    def remove(self, name: str, quantity: int) -> Item:
        if quantity < 0:
            raise ValueError(f"quantity must not be negative, got {quantity}")
        item = self.items[name]
        if item.quantity < quantity:
            raise OutOfStockError(f"only {item.quantity} of {name} left")
        item.quantity -= quantity
        logger.info("removed %d of %s", quantity, name)
        return item

    def total_value(self) -> float:
        return sum(item.value for item in self)

    def find(self, tag: str) -> list[Item]:
        return [item for item in self if tag in item.tags]

    @classmethod
    def load(cls, path: Path) -> "Store":
        store = cls(path.stem)
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                store.add(row["name"], int(row["quantity"]), float(row["unit_price"]))
        return store

    def save(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "quantity", "unit_price"])
            for item in self:
                writer.writerow([item.name, item.quantity, item.unit_price])

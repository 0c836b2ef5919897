"""Text reports about a store."""

import argparse
from pathlib import Path

from store import Item, Store


def format_item(item: Item, currency: str) -> str:
    return f"{item.name:<20} {item.quantity:>6} {item.unit_price:>10.2f} {currency}"


def format_report(store: Store) -> str:
    lines = [f"Stock of {store.name}", ""]
    for item in sorted(store, key=lambda item: item.name):
        lines.append(format_item(item, store.currency))
    lines.append("")
    lines.append(f"Total value: {store.total_value():.2f} {store.currency}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="a CSV file with the stock")
    parser.add_argument("--output", type=Path, help="write the report here instead")
    arguments = parser.parse_args()
    report = format_report(Store.load(arguments.path))
    if arguments.output is None:
        print(report)
    else:
        arguments.output.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()

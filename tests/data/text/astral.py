"""Names in many scripts: 𝓐😀 é 字."""

from math import pi as π


class Kreis:
    def fläche(self, r):
        𝓐 = "👨‍👩‍👧"
        return π * r ** 2

    def next(self):
        return "é "

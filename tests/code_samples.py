"""A short program in every language that the assistant knows, for tests."""

PYTHON = '''import os


def area(width, height=2, *, unit="m²"):
    """Return the größe."""
    if width < 0:
        raise ValueError(f"width {width}")
    return (width * height, unit)


class Box:
    name = "box 🙂"

    def put(self, thing):
        self.things[thing.name] = area(thing.width, thing.height)
        return self
'''

JAVASCRIPT = """import {read} from "./files.js";

export class Store {
  constructor(path, size = 10) {
    this.items = new Map();
    this.path = path;
  }
  load(names) {
    for (const name of names) {
      const text = read(this.path + "/" + name, {encoding: "utf-8"});
      if (text) { this.items.set(name, text.split("ü")); }
    }
    return [...this.items.keys()].map((key) => key.trim());
  }
}
"""

TYPESCRIPT = """export interface Shape { name: string; area(scale: number): number; }

export function total<T extends Shape>(shapes: T[], scale = 1): number {
  let sum = 0;
  for (const shape of shapes) {
    sum += shape.area(scale);
  }
  return sum;
}
"""

TSX = """type Props = { name: string; count?: number };

export function Badge({ name, count = 0 }: Props) {
  const label = format(name, count);
  return <span className="badge" title={label}>{count > 0 ? label : "leer"}</span>;
}
"""

GO = """package main

import "fmt"

type Point struct{ X, Y int }

func (p Point) Add(other Point) Point {
\tif p.X == 0 {
\t\treturn other
\t}
\tfmt.Println("añadir", p, other)
\treturn Point{p.X + other.X, p.Y + other.Y}
}
"""

RUST = """use std::collections::HashMap;

pub struct Counter { seen: HashMap<String, usize> }

impl Counter {
    pub fn add(&mut self, word: &str, times: usize) -> usize {
        let entry = self.seen.entry(word.to_string()).or_insert(0);
        *entry += times;
        if *entry > 10 { println!("viele: {}", word); }
        *entry
    }
}
"""

JAVA = """package shop;

import java.util.List;

public class Cart {
    private final List<Item> items;

    public Cart(List<Item> items) { this.items = items; }

    public int total(int discount, boolean rounded) {
        int sum = 0;
        for (Item item : items) {
            sum += item.price() * item.count();
        }
        return Math.max(sum - discount, 0);
    }
}
"""

C = """#include <stdio.h>

struct point { int x, y; };

static int add(struct point *p, int dx, int dy)
{
\tif (!p) {
\t\tfprintf(stderr, "kein Punkt\\n");
\t\treturn -1;
\t}
\tp->x += dx;
\tp->y += dy;
\treturn 0;
}
"""

CPP = """#include <vector>

namespace shapes {
template <typename T>
class Stack {
 public:
  void push(const T& value) { items_.push_back(value); }
  T pop() {
    T value = items_.back();
    items_.pop_back();
    return value;
  }
 private:
  std::vector<T> items_;
};
}  // namespace shapes
"""

SAMPLES = {
    "a.py": PYTHON,
    "a.js": JAVASCRIPT,
    "a.ts": TYPESCRIPT,
    "a.tsx": TSX,
    "a.go": GO,
    "a.rs": RUST,
    "a.java": JAVA,
    "a.c": C,
    "a.cpp": CPP,
}

"""The network and its training in plain Python: a lesson to run, a specification to test against.

`python model/reference.py [STEPS]` learns lines of code and fills holes in some it never saw.
It knows nothing of tensors, batches or speed: `model/gpt.py` is the same network in torch.
"""
# ruff: noqa: D101, D103  (in a lesson, comments beside the code say more than docstrings)

import gc
import math
import random
import sys
from collections.abc import Sequence
from operator import mul


class Value:
    """A number that remembers what it was computed from, and its slope by each of those."""

    __slots__ = ("data", "grad", "parents", "slopes")

    def __init__(self, data: float, parents: Sequence["Value"] = (), slopes: Sequence[float] = ()):
        self.data, self.grad, self.parents, self.slopes = data, 0.0, parents, slopes

    def __add__(self, other: "Value") -> "Value":
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: "Value") -> "Value":
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def backward(self) -> None:
        """Add d(self)/d(value) to the grad of every value that self was computed from."""
        order, seen, stack = list[Value](), {self}, [(self, iter(self.parents))]
        while stack:  # depth first without recursion: a node is listed after all its parents
            for parent in stack[-1][1]:
                if parent not in seen:
                    seen.add(parent)
                    stack.append((parent, iter(parent.parents)))
                    break
            else:
                order.append(stack.pop()[0])
        self.grad = 1.0
        for node in reversed(order):  # the chain rule; by now the node's own grad is complete
            grad = node.grad
            for parent, slope in zip(node.parents, node.slopes, strict=True):
                parent.grad += slope * grad


Vector = list[Value]
Matrix = list[Vector]  # a row for each output
Past = list[tuple[Matrix, Matrix]]  # of one layer: each position's keys and values, by kv head


def dot(a: Vector, b: Vector) -> Value:  # one node; built from + and * it would mean the same
    a_data, b_data = [v.data for v in a], [v.data for v in b]
    return Value(sum(map(mul, a_data, b_data)), a + b, b_data + a_data)


def linear(weight: Matrix, x: Vector) -> Vector:
    return [dot(row, x) for row in weight]


def silu(x: Value) -> Value:
    gate = 0.5 + 0.5 * math.tanh(x.data / 2)  # the sigmoid, in a form that cannot overflow
    return Value(x.data * gate, (x,), (gate * (1 + x.data * (1 - gate)),))


def log_sum_exp(x: Vector) -> Value:
    top = max(v.data for v in x)  # taken out first, so that exp cannot overflow
    total = top + math.log(sum(math.exp(v.data - top) for v in x))
    return Value(total, x, [math.exp(v.data - total) for v in x])


def softmax(x: Vector) -> Vector:
    total = log_sum_exp(x)  # whose slopes are the very shares that are wanted
    return [Value(p, (v, total), (p, -p)) for v, p in zip(x, total.slopes, strict=True)]


def rmsnorm(x: Vector, gain: Vector, eps: float) -> Vector:
    square = dot(x, x)
    scale = (square.data / len(x) + eps) ** -0.5
    factor = Value(scale, (square,), (-0.5 * scale**3 / len(x),))
    return [v * factor * g for v, g in zip(x, gain, strict=True)]


def rope(x: Vector, pos: int, theta: float) -> Vector:
    half = len(x) // 2  # the pair (i, half + i) turns by an angle that grows more slowly with i
    pairs = [(pos * theta ** (-i / half), x[i], x[half + i]) for i in range(half)]
    left = [dot([a, b], [Value(math.cos(t)), Value(-math.sin(t))]) for t, a, b in pairs]
    return left + [dot([a, b], [Value(math.sin(t)), Value(math.cos(t))]) for t, a, b in pairs]


def random_weights(shapes: dict[str, tuple[int, int]]) -> dict[str, Matrix]:
    made = dict[str, Matrix]()
    for name, (n_out, n_in) in shapes.items():
        mean, std = (1.0, 0.0) if n_out == 1 else (0.0, 0.1)  # a gain is one row of ones
        made[name] = [[Value(random.gauss(mean, std)) for _ in range(n_in)] for _ in range(n_out)]
    return made


class GPT:
    n_layer, n_embd, n_inner = 1, 16, 32  # a lesson's size; a subclass may change it
    n_head, n_kv_head, head_dim = 2, 1, 8  # two heads ask, one answers them both
    rope_theta, norm_eps = 100.0, 1e-6

    def __init__(self, vocab_size: int):
        x, q, kv = self.n_embd, self.n_head * self.head_dim, self.n_kv_head * self.head_dim
        layer = {"input_layernorm": (1, x), "post_attention_layernorm": (1, x)}
        layer |= {"q_proj": (q, x), "k_proj": (kv, x), "v_proj": (kv, x), "o_proj": (x, q)}
        layer |= {"q_norm": (1, self.head_dim), "k_norm": (1, self.head_dim)}
        layer |= {"gate_proj": (self.n_inner, x), "up_proj": (self.n_inner, x)}
        layer |= {"down_proj": (x, self.n_inner)}
        self.layers = [random_weights(layer) for _ in range(self.n_layer)]
        self.ends = random_weights({"embed_tokens": (vocab_size, x), "norm": (1, x)})

    def forward(self, token: int, cache: list[Past]) -> Vector:
        """Append a token to the cache; return the logits of the one after it."""
        x = self.ends["embed_tokens"][token]  # the same table is the head: the model is tied
        for w, past in zip(self.layers, cache, strict=True):
            h = rmsnorm(x, w["input_layernorm"][0], self.norm_eps)
            x = [a + b for a, b in zip(x, self.attention(w, h, past), strict=True)]
            h = rmsnorm(x, w["post_attention_layernorm"][0], self.norm_eps)
            gate, up = linear(w["gate_proj"], h), linear(w["up_proj"], h)
            inner = [silu(a) * b for a, b in zip(gate, up, strict=True)]
            x = [a + b for a, b in zip(x, linear(w["down_proj"], inner), strict=True)]
        return linear(self.ends["embed_tokens"], rmsnorm(x, self.ends["norm"][0], self.norm_eps))

    def attention(self, w: dict[str, Matrix], h: Vector, past: Past) -> Vector:
        """Let each query head mix the values of the positions whose keys suit it."""
        pos, size, flat = len(past), self.head_dim, [linear(w[f"{name}_proj"], h) for name in "qkv"]
        q, k, v = ([x[i : i + size] for i in range(0, len(x), size)] for x in flat)
        q = [rope(rmsnorm(x, w["q_norm"][0], self.norm_eps), pos, self.rope_theta) for x in q]
        k = [rope(rmsnorm(x, w["k_norm"][0], self.norm_eps), pos, self.rope_theta) for x in k]
        past.append((k, v))
        scale, mixed = Value(size**-0.5), list[Value]()
        for i, query in enumerate(q):
            kv = i * self.n_kv_head // self.n_head  # neighbouring query heads share a kv head
            shares = softmax([dot(query, keys[kv]) * scale for keys, _ in past])
            mixed += [dot(shares, list(d)) for d in zip(*(v[kv] for _, v in past), strict=True)]
        return linear(w["o_proj"], mixed)

    def loss(self, ids: list[int], n_given: int = 1) -> Value:
        """Return the mean surprise, in nats, at the ids after the first `n_given`."""
        cache: list[Past] = [[] for _ in self.layers]
        rows = [self.forward(token, cache) for token in ids[:-1]][n_given - 1 :]
        pairs = zip(rows, ids[n_given:], strict=True)
        losses = [log_sum_exp(logits) + logits[told] * Value(-1.0) for logits, told in pairs]
        return dot(losses, [Value(1 / len(losses))] * len(losses))


def adamw(values: Vector, moments: list[list[float]], step: int, lr: float, decay: float) -> None:
    b1, b2, eps = 0.9, 0.95, 1e-8
    for value, moment in zip(values, moments, strict=True):
        moment[0] += (1 - b1) * (value.grad - moment[0])
        moment[1] += (1 - b2) * (value.grad**2 - moment[1])
        mean, square = moment[0] / (1 - b1**step), moment[1] / (1 - b2**step)  # both began at zero
        value.data -= lr * (mean / (square**0.5 + eps) + decay * value.data)
        value.grad = 0.0


LINES = [f"{a} = {b}({a}s)" for a in "row key job bit".split() for b in "min max sum pop".split()]
CHARS = sorted(set("".join(LINES)))  # ids: the characters, then markers that no text can spell
END, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, VOCAB_SIZE = range(len(CHARS), len(CHARS) + 5)


def prompt(prefix: str, suffix: str) -> list[int]:  # suffix first, so that typing only appends
    before, after = ([CHARS.index(char) for char in text] for text in (prefix, suffix))
    return [FIM_PREFIX, FIM_SUFFIX, *after, FIM_MIDDLE, *before]


def infill(gpt: GPT, prefix: str, suffix: str) -> str:
    cache, text = list[Past]([] for _ in gpt.layers), ""
    logits = [gpt.forward(token, cache) for token in prompt(prefix, suffix)][-1]
    while len(text) < 12 and (token := logits.index(max(logits, key=lambda v: v.data))) < END:
        text, logits = text + CHARS[token], gpt.forward(token, cache)
    return text


if __name__ == "__main__":
    n_steps = int(sys.argv[1]) if len(sys.argv) > 1 else 700
    every = max(1, n_steps // 12)
    random.seed(1)
    gc.disable()  # values point back, never forth: without cycles there is nothing to collect
    held_out, seen = LINES[::5], [line for i, line in enumerate(LINES) if i % 5]
    gpt = GPT(VOCAB_SIZE)
    values = [v for w in (gpt.ends, *gpt.layers) for m in w.values() for row in m for v in row]
    moments, losses = [[0.0, 0.0] for _ in values], list[float]()
    for step in range(1, n_steps + 1):
        line = random.choice(seen)
        cut = random.randrange(len(line) + 1)  # the hole ends here; where it began is all one
        ids = [*prompt(line[:cut], line[cut:]), END]
        loss = gpt.loss(ids, n_given=ids.index(FIM_MIDDLE) + 1)
        loss.backward()
        adamw(values, moments, step, lr=0.01 * (1 - step / n_steps), decay=0.01)
        losses.append(loss.data)
        if step % every == 0:
            print(f"step {step:4}  loss {sum(losses[-every:]) / every:.3f}", flush=True)
    for line in held_out:
        for start, stop in ((0, 3), (10, 14)):  # a hole for what is assigned, one for the argument
            print(f"{line[:start]}[{infill(gpt, line[:start], line[stop:])}]{line[stop:]}")

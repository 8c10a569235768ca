"""Times turns of transformer blocks on a GPU, to compare the simulator's cost model with.

A turn is what a node computes at once: the rows of one or more sessions through a span of blocks, from rows in the host's
memory to rows in the host's memory. Blocks are written as Hugging Face's models run them eagerly (bf16, one kernel for
each operation, attention by scaled_dot_product_attention over a cache that is appended to in place), and once more as a
CUDA graph, which leaves out the launching of kernels. Weights are random; every block has its own, so that no cache
holds them. Needs PyTorch with CUDA and nothing else:

    python test/oracle/measure_gpu.py --out test/oracle/gpu-NAME.json
"""

import argparse
import json
import platform
import statistics
import time

import torch
import torch.nn.functional as F

# hidden, heads, KV heads, MLP width, gated: the published config.json of each. Blocks in the span that is timed.
SHAPES = {
    "llama-3.2-1b": dict(hidden=2048, heads=32, kv_heads=8, mlp=8192, gated=True, blocks=16),
    "llama-3-8b": dict(hidden=4096, heads=32, kv_heads=8, mlp=14336, gated=True, blocks=16),
    "llama-3-70b": dict(hidden=8192, heads=64, kv_heads=8, mlp=28672, gated=True, blocks=16),
    "bloom-176b": dict(hidden=14336, heads=112, kv_heads=112, mlp=57344, gated=False, blocks=6),
}
# sessions, new rows of each, rows that are in each cache before
TURNS = [
    (1, 1, 128), (1, 1, 2048), (1, 1, 8000),
    (2, 1, 512), (4, 1, 512), (8, 1, 512), (16, 1, 512), (32, 1, 512), (64, 1, 512), (8, 1, 4000),
    (1, 16, 0), (1, 64, 0), (1, 128, 0), (1, 256, 0), (1, 512, 0), (1, 1024, 0), (1, 128, 2048), (1, 512, 2048),
]
DTYPE = torch.bfloat16


class Block:
    """One block with random weights. `kind` is `bf16` or `int4` (groups of 128, by PyTorch's own kernel)."""

    def __init__(self, shape, kind):
        self.shape, self.kind = shape, kind
        hidden, kv = shape["hidden"], shape["hidden"] // shape["heads"] * shape["kv_heads"]
        self.norm1 = torch.ones(hidden, device="cuda", dtype=DTYPE)
        self.norm2 = torch.ones(hidden, device="cuda", dtype=DTYPE)
        self.q, self.k, self.v = self.matrix(hidden, hidden), self.matrix(kv, hidden), self.matrix(kv, hidden)
        self.o = self.matrix(hidden, hidden)
        self.up, self.down = self.matrix(shape["mlp"], hidden), self.matrix(hidden, shape["mlp"])
        self.gate = self.matrix(shape["mlp"], hidden) if shape["gated"] else None

    def matrix(self, rows, columns):
        if self.kind == "bf16":
            return torch.randn(rows, columns, device="cuda", dtype=DTYPE) * 0.02
        packed = torch.randint(0, 255, (rows, columns // 2), device="cuda", dtype=torch.uint8)
        weights = torch.ops.aten._convert_weight_to_int4pack(packed, 8)
        scales = torch.full((columns // 128, rows, 2), 0.01, device="cuda", dtype=DTYPE)
        return weights, scales

    def linear(self, x, matrix):
        if self.kind == "bf16":
            return F.linear(x, matrix)
        flat = x.reshape(-1, x.shape[-1])
        return torch.ops.aten._weight_int4pack_mm(flat, matrix[0], 128, matrix[1]).reshape(*x.shape[:-1], -1)

    @staticmethod
    def norm(x, weight):
        wide = x.float()
        return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)

    @staticmethod
    def rotate(x, cos, sin):
        half = x.shape[-1] // 2
        return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin

    def forward(self, x, cache, past, cos, sin, mask):
        """x: [sessions, rows, hidden]; cache: keys and values [sessions, kv_heads, capacity, head_dim]."""
        sessions, rows, hidden = x.shape
        heads, kv_heads = self.shape["heads"], self.shape["kv_heads"]
        size = hidden // heads
        y = self.norm(x, self.norm1)
        q = self.rotate(self.linear(y, self.q).view(sessions, rows, heads, size).transpose(1, 2), cos, sin)
        k = self.rotate(self.linear(y, self.k).view(sessions, rows, kv_heads, size).transpose(1, 2), cos, sin)
        v = self.linear(y, self.v).view(sessions, rows, kv_heads, size).transpose(1, 2)
        keys, values = cache
        keys[:, :, past : past + rows] = k
        values[:, :, past : past + rows] = v
        seen_keys, seen_values = keys[:, :, : past + rows], values[:, :, : past + rows]
        attended = F.scaled_dot_product_attention(
            q, seen_keys, seen_values, attn_mask=mask, is_causal=mask is None and rows > 1, enable_gqa=heads != kv_heads
        )
        x = x + self.linear(attended.transpose(1, 2).reshape(sessions, rows, hidden), self.o)
        y = self.norm(x, self.norm2)
        y = F.silu(self.linear(y, self.gate)) * self.linear(y, self.up) if self.gate is not None else F.gelu(self.linear(y, self.up))
        return x + self.linear(y, self.down)


def timed(call, least_s=0.15, most=40):
    """Median in microseconds, of as many calls as fit, after two that do not count."""
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    times, begin = [], time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - begin < least_s and len(times) < most):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e6)
    return round(statistics.median(times), 1)


def measure_turn(blocks, shape, turn):
    sessions, rows, past = turn
    hidden, size = shape["hidden"], shape["hidden"] // shape["heads"]
    capacity = past + rows
    caches = [
        [torch.randn(sessions, shape["kv_heads"], capacity, size, device="cuda", dtype=DTYPE) * 0.02 for _ in range(2)]
        for _ in blocks
    ]
    angles = torch.rand(rows, size, device="cuda", dtype=DTYPE)
    cos, sin = angles.cos(), angles.sin()
    mask = None
    if rows > 1 and past > 0:
        mask = torch.ones(rows, capacity, device="cuda", dtype=torch.bool).tril(past)
    host_in = (torch.randn(sessions, rows, hidden) * 0.1).to(DTYPE).pin_memory()
    host_out = torch.empty_like(host_in).pin_memory()
    on_gpu = host_in.cuda()

    def compute(x):
        for block, cache in zip(blocks, caches):
            x = block.forward(x, cache, past, cos, sin, mask)
        return x

    def eager():
        host_out.copy_(compute(host_in.cuda(non_blocking=True)), non_blocking=True)
        torch.cuda.synchronize()

    result = dict(sessions=sessions, rows=rows, pastRows=past, eagerUs=timed(eager))
    compute(on_gpu)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = compute(on_gpu)

    def replay():
        on_gpu.copy_(host_in, non_blocking=True)
        graph.replay()
        host_out.copy_(output, non_blocking=True)
        torch.cuda.synchronize()

    result["graphUs"] = timed(replay)
    return result


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, default=300)
    args = parser.parse_args()
    begin = time.perf_counter()
    found = []
    report = dict(gpu=torch.cuda.get_device_name(), torch=torch.__version__, python=platform.python_version())
    plan = [(name, "bf16") for name in SHAPES] + [("llama-3-8b", "int4"), ("llama-3-70b", "int4")]
    for name, kind in plan:
        shape = SHAPES[name]
        # Spans of two lengths tell what a turn costs from what a block does.
        spans = (shape["blocks"], shape["blocks"] // 4) if kind == "bf16" and shape["blocks"] >= 8 else (shape["blocks"],)
        try:
            weights = [Block(shape, kind) for _ in range(shape["blocks"])]
        except Exception as error:
            print(name, kind, repr(error)[:200], flush=True)
            continue
        for count in spans:
            for turn in TURNS:
                if time.perf_counter() - begin > args.seconds:
                    break
                if kind == "int4" and turn[0] * turn[1] > 64:
                    continue
                try:
                    found.append(dict(model=name, weights=kind, blocks=count, **measure_turn(weights[:count], shape, turn)))
                except Exception as error:
                    print(name, kind, count, turn, repr(error)[:200], flush=True)
        del weights
        torch.cuda.empty_cache()
        with open(args.out, "w") as file:
            turns = ",\n".join("  " + json.dumps(turn) for turn in found)
            file.write(json.dumps(report)[:-1] + ', "turns": [\n' + turns + "\n]}\n")
        print(name, kind, len(found), f"{time.perf_counter() - begin:.0f} s", flush=True)


main()

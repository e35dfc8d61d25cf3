#!/usr/bin/env python3
"""Runs the published programs on the problems of tests/unit/test_published.c and prints their answers.

    tests/eplb/published.py FOLDER        FOLDER/eplb.py (deepseek-ai/EPLB), default.py
                                          (vllm/distributed/eplb/policy), deepseek_vec.py and
                                          elasticity_aware.py (sglang eplb_algorithms)

Needs torch and numpy, which neither the build nor the tests do: the answers stand in the test as one
number a block of problems. The programs are run as they are but for stable sorts. The problems are
drawn here as there: whoever changes one changes the other.
"""
import importlib.util
import pathlib
import sys
import types

import numpy
import torch

MASK = (1 << 64) - 1
BLOCKS, BLOCK = 8, 250
MAX_SLOTS = 512


class Random:
    """splitmix64"""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9e3779b97f4a7c15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
        return z ^ (z >> 31)

    def below(self, bound):
        return self.next() % bound


def draw_load(random, kind, index, experts):
    if kind == 0:
        return random.below(3)
    if kind == 1:
        return random.below(2) * random.below(10)
    if kind == 2:
        return 7
    if kind == 3:
        return random.below(200000)
    if kind == 4:
        return random.next() >> 17
    if kind == 5:
        return (1 << 25) + random.below(4)
    if kind == 6:
        return 1000 if index % experts == experts // 2 else 0
    if kind == 7:
        return 1000000 // (1 + random.below(1000))
    return 30000000 + random.below(64)


def draw_problem(random, windowed):
    while True:
        layers, groups, nodes = 1 + random.below(2), 1 + random.below(8), 1 + random.below(4)
        ranks = nodes * (1 + random.below(6))
        experts = groups * (1 + random.below(40))
        replicas = ranks * (1 + random.below(20))
        windows = 1 + random.below(40) if windowed else 1
        # torch adds the windows of the last columns of other shapes in another order
        if experts <= replicas <= MAX_SLOTS and (not windowed or layers * experts % 32 == 0):
            break
    kind = random.below(9)
    loads = [draw_load(random, kind, i, experts) for i in range(windows * layers * experts)]
    loads = torch.tensor(loads, dtype=torch.int64).view(windows, layers, experts)
    return loads, replicas, groups, nodes, ranks


def draw_dead(random, ranks, replicas, experts):
    """1 for every live rank; as many are killed as can be spared, at most half of those drawn."""
    active, live = [1] * ranks, ranks
    for _ in range(random.below(ranks)):
        rank = random.below(ranks)
        if active[rank] and (live - 1) * (replicas // ranks) >= experts:
            active[rank] = 0
            live -= 1
    return active


def run_deepseek(programs, problem, random):
    loads, replicas, groups, nodes, ranks = problem
    return programs["eplb"].rebalance_experts(loads[0], replicas, groups, nodes, ranks)[0].tolist()


def run_vllm(programs, problem, random):
    loads, replicas, groups, nodes, ranks = problem
    policy = programs["default"].DefaultEplbPolicy
    return policy.rebalance_experts(loads[0], replicas, groups, nodes, ranks).tolist()


def run_deepseek_vec(programs, problem, random):
    loads, replicas, groups, nodes, ranks = problem
    # One group is no group: SGLang's "auto" asks whether the model has any.
    hierarchical = groups > 1 and groups % nodes == 0
    return programs["deepseek_vec"].rebalance_experts(
        loads, replicas, replicas // ranks, groups, nodes, hierarchical)[0].tolist()


def run_elasticity_aware(programs, problem, random):
    loads, replicas, groups, nodes, ranks = problem
    active = draw_dead(random, ranks, replicas, loads.shape[2])
    rows, slots, _ = programs["elasticity_aware"].rebalance_experts(
        loads[0], replicas, groups, nodes, ranks, groups % nodes == 0, torch.tensor(active))
    rows, per_rank = rows.tolist(), replicas // ranks
    return [[expert if active[slot // per_rank] else -1 for slot, expert in enumerate(row)]
            for row in rows]


def load_program(folder, name):
    spec = importlib.util.spec_from_file_location(f"published.{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_programs(folder):
    """The files import their neighbours, of which only the algorithms matter here."""
    package = types.ModuleType("published")
    package.__path__ = []
    abstract = types.ModuleType("published.abstract")
    abstract.AbstractEplbPolicy = object
    sys.modules.update({"published": package, "published.abstract": abstract})
    programs = {"eplb": load_program(folder, "eplb")}
    for name in ("sglang", "sglang.srt", "sglang.srt.eplb", "sglang.srt.eplb.eplb_algorithms"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["sglang.srt.eplb.eplb_algorithms.deepseek"] = programs["eplb"]
    for name in ("default", "deepseek_vec", "elasticity_aware"):
        programs[name] = load_program(folder, name)
    return programs


def prepare_libraries():
    tensor_sort, array_sort = torch.Tensor.sort, numpy.argsort
    torch.Tensor.sort = lambda self, dim=-1, descending=False: tensor_sort(
        self, dim=dim, descending=descending, stable=True)
    torch.Tensor.argsort = lambda self, dim=-1, descending=False: self.sort(dim, descending).indices
    torch.int = torch.int64  # torch 1.13 takes no int32 as an index
    numpy.argsort = lambda array, axis=-1: array_sort(array, axis=axis, kind="stable")


def main():
    programs = load_programs(pathlib.Path(sys.argv[1]))
    prepare_libraries()
    for seed, (name, run) in enumerate((("deepseek", run_deepseek), ("vllm", run_vllm),
                                        ("deepseek_vec", run_deepseek_vec),
                                        ("elasticity_aware", run_elasticity_aware))):
        random = Random(seed + 1)
        hashes = []
        for _ in range(BLOCKS):
            value = 0xcbf29ce484222325
            for _ in range(BLOCK):
                problem = draw_problem(random, name == "deepseek_vec")
                for row in run(programs, problem, random):
                    for expert in row:
                        value = ((value ^ (expert & 0xffffffff)) * 0x100000001b3) & MASK
            hashes.append(f"0x{value:016x}")
        print(f"{name}: {', '.join(hashes)}", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Reads /metrics from standard input with Prometheus' own client library and
applies the rules of `promtool check metrics` (promlint). Prints one JSON object:
the families with their samples, and the problems."""

import json
import re
import sys

from prometheus_client.parser import text_string_to_metric_families

# promlint: units that have a base unit.
UNITS = {
    "milliseconds": "seconds", "microseconds": "seconds", "nanoseconds": "seconds",
    "minutes": "seconds", "hours": "seconds", "days": "seconds", "weeks": "seconds",
    "kilobytes": "bytes", "megabytes": "bytes", "gigabytes": "bytes", "bits": "bytes",
    "kibibytes": "bytes", "mebibytes": "bytes", "percent": "ratio", "millicelsius": "celsius",
    "fahrenheit": "celsius", "kelvin": "celsius", "kilometers": "meters",
}
ABBREVIATIONS = {
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d",
}
# Labels take few values, and never who somebody is or where.
ADDRESS = re.compile(r"0x[0-9a-fA-F]{8}|\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f]*:")
VALUES_MAX = 80


def lint(text):
    problems, families = [], {}

    def wrong(name, why):
        problems.append(f"{name}: {why}")

    helped = {}
    for line in text.splitlines():
        for word, seen in (("# HELP ", "help"), ("# TYPE ", "type")):
            if line.startswith(word):
                name = line.split(" ")[2]
                if (name, seen) in helped:
                    wrong(name, f"two lines of {seen}")
                helped[(name, seen)] = line.split(" ", 3)[3]
    if not text.endswith("\n"):
        wrong("the text", "its last line is not ended")
    for family in text_string_to_metric_families(text):
        # The library takes `_total` off a counter's name.
        name = family.name + ("_total" if family.type == "counter" else "")
        if name in families:
            wrong(name, "it comes twice")
        parts = name.split("_")
        if not helped.get((name, "help")):
            wrong(name, "no help")
        if helped.get((name, "type")) != family.type or family.type in ("unknown", "untyped"):
            wrong(name, "no type, or a counter without _total")
        if family.type != "counter" and name.endswith("_total"):
            wrong(name, "no counter, but _total")
        if family.type != "histogram" and re.search(r"_(bucket|count|sum)$", name):
            wrong(name, "the end of a histogram's sample")
        if not re.fullmatch(r"(chr|process)_[a-z0-9_]+", name):
            wrong(name, "not the prefix, or not small letters")
        for part in parts:
            if part in UNITS:
                wrong(name, f"use {UNITS[part]} instead of {part}")
            if part in ABBREVIATIONS:
                wrong(name, f"{part} is an abbreviation")
            if part in ("counter", "gauge", "histogram", "summary", "metric"):
                wrong(name, f"the type {part} in the name")
        samples = {}
        for sample in family.samples:
            key = sample.name + json.dumps(sample.labels, sort_keys=True)
            if key in samples:
                wrong(name, f"the sample {key} comes twice")
            samples[key] = sample.value
            if sample.value != sample.value or abs(sample.value) == float("inf"):
                wrong(name, f"{key} is no number")
            if family.type == "counter" and sample.value < 0:
                wrong(name, "a counter below zero")
            for label, value in sample.labels.items():
                if label == "le" and family.type != "histogram":
                    wrong(name, "the label le")
                if label == "quantile":
                    wrong(name, "the label quantile")
                if not re.fullmatch(r"[a-z][a-z0-9_]*", label):
                    wrong(name, f"the label {label}")
                if ADDRESS.search(value):
                    wrong(name, f"an address in a label: {value}")
        if not samples:
            wrong(name, "no sample")
        if len(samples) > VALUES_MAX:
            wrong(name, f"{len(samples)} samples")
        if family.type == "histogram":
            check_histogram(name, family.samples, wrong)
        families[name] = {"type": family.type, "help": helped.get((name, "help")), "samples": samples}
    return {"families": families, "problems": problems}


def check_histogram(name, samples, wrong):
    buckets = [(float(s.labels["le"]), s.value) for s in samples if s.name == name + "_bucket"]
    count = [s.value for s in samples if s.name == name + "_count"]
    total = [s.value for s in samples if s.name == name + "_sum"]
    if len(count) != 1 or len(total) != 1:
        wrong(name, "no sum or no count")
    if buckets != sorted(buckets) or not buckets or buckets[-1][0] != float("inf"):
        wrong(name, "its classes are not in order, or +Inf is missing")
    if [v for _, v in buckets] != sorted(v for _, v in buckets):
        wrong(name, "its classes do not add up")
    if buckets and count and buckets[-1][1] != count[0]:
        wrong(name, "+Inf is not the count")


print(json.dumps(lint(sys.stdin.read())))

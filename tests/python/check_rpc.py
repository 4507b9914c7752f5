"""Holds answers of a node against the schemas of its own OpenRPC document.

Reads {"document": …, "answers": [[method, result], …]} from standard input; the words
go to standard error, and the end is 1, where an answer is not as the document says.
Needs python3-jsonschema.
"""

import json
import sys

from jsonschema import Draft7Validator


def main():
    given = json.load(sys.stdin)
    schemas = {m["name"]: m["result"]["schema"] for m in given["document"]["methods"]}
    for method in given["document"]["methods"]:
        for schema in [method["result"]["schema"]] + [p["schema"] for p in method["params"]]:
            Draft7Validator.check_schema(schema)
    wrong = 0
    for name, result in given["answers"]:
        for error in Draft7Validator(schemas[name]).iter_errors(result):
            place = "/".join(str(step) for step in error.absolute_path)
            print(f"{name}: {place}: {error.message[:300]}", file=sys.stderr)
            wrong += 1
    print(f"{len(given['answers'])} answers, {wrong} not as they should be")
    sys.exit(1 if wrong else 0)


main()

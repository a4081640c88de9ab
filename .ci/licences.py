"""Are all dependencies under licences that deny.toml allows? Reads `cargo metadata` on stdin; needs only Python 3.

Stands in for `cargo deny check licenses` where cargo-deny is not installed. SPDX expressions are read with AND, OR,
WITH and parentheses; a `/` between licences means OR, as crates.io used to write it.
"""
import json
import re
import sys


def allowed_licences(path):
    text = open(path, encoding="utf-8").read()
    block = re.search(r"^allow\s*=\s*\[(.*?)\]", text, re.S | re.M)
    if not block:
        sys.exit(f"{path}: no `allow = [...]`")
    return set(re.findall(r'"([^"]+)"', block.group(1)))


def holds(expression, allowed):
    """Whether the expression can be met with allowed licences only."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def peek():
        return words[position] if position < len(words) else None

    def take():
        nonlocal position
        position += 1
        return words[position - 1]

    def any_of():
        result = all_of()
        while peek() == "OR":
            take()
            right = all_of()
            result = result or right
        return result

    def all_of():
        result = one()
        while peek() == "AND":
            take()
            right = one()
            result = result and right
        return result

    def one():
        word = take()
        if word == "(":
            result = any_of()
            take()
            return result
        if peek() == "WITH":
            take()
            return f"{word} WITH {take()}" in allowed
        return word in allowed

    return any_of()


def main():
    allowed = allowed_licences(sys.argv[1])
    packages = json.load(sys.stdin)["packages"]
    wrong = []
    for package in packages:
        licence = package["license"]
        if not licence or not holds(licence, allowed):
            wrong.append(f"  {package['name']} {package['version']}: {licence or 'none given'}")
    if wrong:
        sys.exit("licences that deny.toml does not allow:\n" + "\n".join(wrong))
    print(f"licences of {len(packages)} packages are allowed")


main()

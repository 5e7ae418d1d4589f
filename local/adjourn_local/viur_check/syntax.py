"""Parts of a syntax tree, as the rules ask for them."""

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef


def last_name(node: ast.AST) -> str:
    """Return the last part of a dotted name, also of what is called; "" for anything else."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def decorators(node: ast.AST) -> list[str]:
    """Return the names of the decorators above a function or class, from the top."""
    return [last_name(each) for each in getattr(node, "decorator_list", ())]


def argument(call: ast.Call, name: str, place: int | None = None) -> ast.expr | None:
    """Return what a call passes for a parameter, by name or by place."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if place is not None and place < len(call.args):
        return call.args[place]
    return None


def number(node: ast.expr | None) -> float | None:
    """Return the number that an expression of constants is; None if it is none."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = number(operand)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            first, second = number(left), number(right)
            return None if first is None or second is None else first * second
    return None


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls in a tree."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def names(tree: ast.AST, *decorating: str) -> Iterator[str]:
    """Yield the names of the functions and classes that have one of some decorators."""
    for node in ast.walk(tree):
        if set(decorators(node)) & set(decorating):
            yield str(getattr(node, "name", ""))


def is_naive(node: ast.expr | None) -> bool:
    """Whether an expression makes a time without a zone: utcnow(), now() or datetime(...)."""
    if isinstance(node, ast.BinOp):
        return is_naive(node.left)
    if not isinstance(node, ast.Call):
        return False
    name = last_name(node)
    if name == "utcnow":
        return True
    if name in {"now", "today"}:
        return not node.args and not node.keywords
    is_made = name == "datetime" and bool(node.args)
    return is_made and argument(node, "tzinfo", 7) is None

"""What statements do to states during a walk: texts, turns, gens, selects, joins."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import msgspec

from ...ir.expressions import Const, Expression, Target
from ...ir.holes import fill
from ...ir.nodes import Gen, Let, Pin, RoleBegin, RoleEnd, ScopeBegin, ScopeEnd, Select, Stmt, Text
from ...ir.program import Do, Join, Store, Within
from ...ir.reasoning import reasoning_name
from .env import UNKNOWN, Env, GroupRef, Local, State, StateId, StateRef, Usage, Variable
from .expressions import options_of
from .languages import Language, is_stopped
from .reads import Reads
from .rounds import bind_item, rounds_of
from .tokens import ANY, NONE, Pieces, Range
from .trace import LateConstant, Met, Site
from .values import Known, Value

DEFAULT_MAX_TOKENS = 128  # of `Function.run`
LONG_CONSTANT = 64  # characters; a shorter one is not worth moving

By = Literal["gen", "select", "assignment", "scope"]


class Effects(Reads):
    """Carries out statements on what is known."""

    # ---- local names

    def assign(self, target: Target, node: Expression, env: Env) -> None:
        """`target = node`."""
        ref = self.ref(node, env)
        if ref is not None and hasattr(target, "name"):
            bind_item(target, Local(ref=ref), env)
            return
        if isinstance(ref, GroupRef):
            rounds = rounds_of(node, env, self)
            item = tuple(rounds) if rounds is not None else Local(ref=StateRef(None))
            bind_item(target, item, env)
            return
        value = self.value(node, env)
        pieces = self.pieces(node, env) if hasattr(target, "name") else UNKNOWN.pieces
        bind_item(target, Local(value, pieces), env)

    # ---- states

    def do(self, step: Do, env: Env) -> None:
        """A straight-line statement."""
        known: dict[str, Any] = {}
        for name, hole in step.holes.items():
            value = self.value(hole, env)
            if value is not None and value.only:
                known[name] = value.values[0]
        unknown = frozenset(step.holes.keys() - known.keys())
        pieces: Pieces = ()
        if isinstance(step.statement, Text):
            said = step.holes.get("text")
            pieces = (step.statement.text,) if said is None else self.pieces(said, env)
            known.pop("text", None)
        statement = _filled(step.statement, known)
        ref = self.ref(step.state, env)
        targets = env.targets(ref)
        is_certain = isinstance(ref, GroupRef) or len(targets) == 1
        before = env.usage
        ways: list[dict[int, Usage]] = []
        for key in targets:
            state = env.states[key]
            old = state.tape
            if not is_certain:
                env.usage = dict(before)
            self._apply(statement, unknown, pieces, step, state, env)
            if not is_certain:
                state.tape = state.tape.joined(old, self.counter)
                ways.append(env.usage)
        if ways:
            env.usage = ways[0]
            for way in ways[1:]:
                env.usage = {site: used | way.get(site, used) for site, used in env.usage.items()}

    def _apply(
        self,
        statement: Stmt,
        unknown: frozenset[str],
        pieces: Pieces,
        step: Do,
        state: State,
        env: Env,
    ) -> None:
        match statement:
            case Text():
                self._append(state, pieces)
            case RoleBegin(role=role):
                state.tape = state.tape.begin_turn(role, self.counter)
            case RoleEnd(role=role):
                state.tape = state.tape.end_turn(role, self.counter)
            case Gen():
                self._gen(statement, unknown, step, state, env)
            case Select():
                self._select(statement, unknown, step, state, env)
            case Let(out=out, value=value):
                self._bind_variable(state, out, id(step), "assignment", Known((value,)), ANY, env)
            case Pin():
                state.tape = state.tape.pinned(state.tape.prompt(self.counter))
            case ScopeBegin() | ScopeEnd():
                pass
            case _:  # what is no text: how many tokens it has is the model's affair
                self._append(state, (ANY,))
        env.longest = env.longest.max(state.tape.prompt(self.counter))

    def _append(self, state: State, pieces: Pieces) -> None:
        before = state.tape
        state.tape = tape = before.append(pieces, self.scope.line)
        is_new = before.constant < LONG_CONSTANT or any(not isinstance(p, str) for p in pieces)
        if (
            is_new
            and tape.dynamic_line
            and tape.constant >= LONG_CONSTANT
            and not tape.has_computed
            and not self.is_in_loop
        ):
            self.trace.late.add(LateConstant(self.scope.place, tape.dynamic_line, tape.constant))

    @property
    @abstractmethod
    def is_in_loop(self) -> bool:
        """Whether the statement stands in a loop."""

    def _gen(self, gen: Gen, unknown: frozenset[str], step: Do, state: State, env: Env) -> None:
        tape = state.tape
        prompt = tape.prompt(self.counter)
        self.trace.met.append(Met(gen, unknown, self.scope.place, tape, prompt, id(step)))
        language = self.scope.languages.of_gen(gen, unknown)
        decoded = self.decoded(gen, unknown, language)
        forced = self._forced(language, decoded)
        cached = tape.cached(prompt)
        used = Usage(prompt, cached, forced, decoded, NONE, Range(1, 1))
        if "sampling.n" in unknown:
            used = replace_decoded(used, Range(decoded.least, None))
        elif (gen.sampling.n or 1) > 1:
            used = replace_decoded(used, decoded.times(gen.sampling.n or 1))
        env.usage[id(step)] = env.usage.get(id(step), Usage()) + used
        state.tape = tape.generated(prompt, decoded)
        out = self._name(gen.out, unknown, state)
        self.trace.sites.setdefault(id(step), Site(out or "", self.scope.place, "gen"))
        if out is not None:
            self._bind_variable(state, out, id(step), "gen", None, Range(0, decoded.most), env)
            if gen.reasoning is not None:
                aside = Variable(True, frozenset[int](), None, Range(0, decoded.most))
                state.variables[reasoning_name(out)] = aside

    def _select(
        self, select: Select, unknown: frozenset[str], step: Do, state: State, env: Env
    ) -> None:
        tape = state.tape
        prompt = tape.prompt(self.counter)
        self.trace.met.append(Met(select, unknown, self.scope.place, tape, prompt, id(step)))
        options = None if "choices" in unknown else select.choices
        counts = [self.counter.range((option,)) for option in options or ()]
        scored = Range(0, None)
        if options is not None:
            scored = Range(0, sum(c.most or 0 for c in counts) + 2 * len(counts))
        used = Usage(prompt, tape.cached(prompt), NONE, NONE, scored, Range(1, 1))
        env.usage[id(step)] = env.usage.get(id(step), Usage()) + used
        state.tape = tape.chosen(options, self.counter)
        out = self._name(select.out, unknown, state)
        self.trace.sites.setdefault(id(step), Site(out or "", self.scope.place, "select"))
        if out is not None:
            tokens = ANY
            for index, count in enumerate(counts):
                tokens = count if index == 0 else tokens | count
            value = options_of(select) if options is not None else None
            self._bind_variable(state, out, id(step), "select", value, tokens, env)

    def _name(self, out: str | None, unknown: frozenset[str], state: State) -> str | None:
        if "out" in unknown:
            state.is_open = True
            return None
        return out

    def decoded(self, gen: Gen, unknown: frozenset[str], language: Language | None) -> Range:
        """The tokens that a gen may sample; the one that ends it counts."""
        most: int | None = gen.sampling.max_new_tokens
        if "sampling.max_new_tokens" in unknown:
            most = None
        elif most is None:
            most = DEFAULT_MAX_TOKENS
        least = max(1, gen.sampling.min_new_tokens or 0)
        if gen.reasoning is None and language is not None and language.error is None:
            if not is_stopped(gen, unknown):
                least = max(least, language.least_tokens)
            if language.most_bytes is not None:
                bound = language.most_bytes + 1
                most = bound if most is None else min(most, bound)
        return Range(least if most is None else min(least, most), most)

    def _forced(self, language: Language | None, decoded: Range) -> Range:
        prefix = "" if language is None or language.error is not None else language.prefix
        if not prefix:
            return NONE
        size = len(prefix.encode())
        return Range(0, size if decoded.most is None else min(size, decoded.most))

    def _bind_variable(
        self,
        state: State,
        name: str,
        site: int,
        by: By,
        value: Value,
        tokens: Range,
        env: Env,
    ) -> None:
        self.trace.sites.setdefault(site, Site(name, self.scope.place, by))
        if site not in self.trace.order:
            self.trace.order.append(site)
        before = state.variables.get(name)
        for old in frozenset[int]() if before is None else before.sites:
            self.trace.overwritten.setdefault(old, site)
        env.forget(name)
        state.variables[name] = Variable(True, frozenset({site}), value, tokens)

    def store(self, step: Store, env: Env) -> None:
        """`s["x"] = value`."""
        name = self.value(step.index, env)
        for key in env.targets(self.ref(step.container, env)):
            state = env.states[key]
            if name is None or not name.only:
                state.is_open = True
                continue
            value = self.value(step.value, env)
            tokens = self.counter.range(self.pieces(step.value, env))
            text = str(name.values[0])
            self._bind_variable(state, text, id(step), "assignment", value, tokens, env)

    def begin(self, step: Within, env: Env) -> None:
        """A turn or a scope begins."""
        if isinstance(step.begin, RoleBegin):
            for key in env.targets(self.ref(step.state, env)):
                state = env.states[key]
                state.tape = state.tape.begin_turn(self._role(step, env), self.counter)

    def end(self, step: Within, env: Env) -> None:
        """It ends."""
        for key in env.targets(self.ref(step.state, env)):
            state = env.states[key]
            if isinstance(step.begin, RoleBegin):
                state.tape = state.tape.end_turn(self._role(step, env), self.counter)
            elif step.name is None or isinstance(step.name, Const):
                out = step.begin.out if step.name is None else str(step.name.value)
                self._bind_variable(state, out, id(step), "scope", None, ANY, env)
            else:
                state.is_open = True

    def _role(self, step: Within, env: Env) -> str:
        known = None if step.name is None else self.value(step.name, env)
        if known is not None and known.only:
            return str(known.values[0])
        return getattr(step.begin, "role", "") or "user"

    def join_group(self, step: Join, env: Env) -> None:
        """A fork's branches give their results back."""
        ref = self.ref(step.group, env)
        parents = {ref.parent} if isinstance(ref, GroupRef) else set[StateId | None]()
        branches = env.targets(ref)
        for key in [p for p in parents if p in env.states] or list(env.states):
            parent = env.states[key]
            parent.tape = parent.tape.shared()
            if step.mode == "concate_and_append":
                parent.tape = parent.tape.append((ANY,), self.scope.line)
                for branch in branches:
                    self.leave(env.states[branch])
            elif key not in branches:
                self._gather(parent, [env.states[branch] for branch in branches], env)

    def _gather(self, parent: State, branches: list[State], env: Env) -> None:
        found: dict[str, list[Variable]] = {}
        for branch in branches:
            parent.is_open |= branch.is_open
            for name, variable in branch.variables.items():
                own = variable.sites - branch.inherited
                if name not in parent.variables:
                    found.setdefault(name, []).append(variable)
                elif own:  # it is dropped: the parent keeps what it has
                    for site in own:
                        keeper = min(parent.variables[name].sites, default=site)
                        self.trace.overwritten.setdefault(site, keeper)
        for name, variables in found.items():
            env.forget(name)
            sites = frozenset(site for variable in variables for site in variable.sites)
            is_certain = any(variable.is_certain for variable in variables)
            parent.variables[name] = Variable(is_certain, sites)

    def leave(self, state: State) -> None:
        """A state comes to its end: its variables are the run's results."""
        for variable in state.variables.values():
            self.trace.alive |= variable.sites


def _filled(statement: Stmt, known: dict[str, Any]) -> Stmt:
    """Fill holes; what cannot stand there ends the run, and is left for the checks to see."""
    regex = known.pop("regex", None)  # a malformed one, too
    if isinstance(statement, Gen) and isinstance(regex, str):
        statement = msgspec.structs.replace(statement, regex=regex)
    try:
        return fill(statement, known)
    except (TypeError, ValueError):  # of options, an empty list is left
        return statement


def replace_decoded(used: Usage, decoded: Range) -> Usage:
    """The same, with other generated tokens."""
    return Usage(used.prompt, used.cached, used.forced, decoded, used.scored, used.runs)

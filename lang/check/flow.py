"""The walk: follows a program's control flow with what is known at each point.

Branches are joined where they meet. A loop whose rounds are known is followed round by round; any
other is walked until nothing new is learnt, and what keeps moving is let go. Loops that a run
decides are taken to have at least one round, as far as variables are concerned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from ...ir.expressions import Const
from ...ir.program import (
    Assign,
    Block,
    Break,
    Continue,
    Do,
    Evaluate,
    For,
    Fork,
    HostCall,
    If,
    Invoke,
    Join,
    Program,
    Raise,
    Return,
    Store,
    While,
    Within,
)
from ...ir.scopes import names_of
from .effects import Effects
from .env import UNKNOWN, Env, GroupRef, Local, State, StateRef, Usage, join, widened
from .expressions import Scope, Shape
from .repeats import assigned, is_settled, is_summary, unbounded
from .rounds import MAX_ROUNDS, bind_item, rounds_of
from .tape import Tape
from .tokens import Range
from .values import Value

MAX_STEPS = 4_000  # statements that one walk follows round by round: about a second
MAX_BRANCHES = 64
MAX_PASSES = 6  # over a loop that a run decides; what moves is let go after the first
MAX_NESTING = 8  # programs inside each other


@dataclass(slots=True)
class _Loop:
    breaks: list[Env] = field(default_factory=list[Env])
    continues: list[Env] = field(default_factory=list[Env])


class Flow(Effects):
    """Walks one program; what it invokes is walked by others."""

    def __init__(
        self,
        scope: Scope,
        functions: Mapping[str, Program],
        path: tuple[int, ...] = (),
        spent: list[int] | None = None,
    ) -> None:
        super().__init__(scope)
        self._functions = functions
        self._path = path  # the invocations around it
        self._spent = [0] if spent is None else spent  # of MAX_STEPS, shared
        self._loops: list[_Loop] = []
        self._returns: list[Env] = []

    @property
    def is_in_loop(self) -> bool:
        """Whether the statement stands in a loop."""
        return bool(self._loops)

    def run(self, env: Env) -> Env | None:
        """Walk the body; return what is known at its ends, None if it has none."""
        end = self._block(self.scope.program.body, env)
        ends = [*self._returns, *([] if end is None else [end])]
        return join(ends, self.counter)

    def _block(self, body: tuple[Block, ...], env: Env | None) -> Env | None:
        for step in body:
            if env is None:
                return None
            self._spent[0] += 1
            self.trace.reached.add(id(step))
            self.scope.line = step.line or self.scope.line
            env = self._step(step, env)
        return env

    def _step(self, step: Block, env: Env) -> Env | None:
        match step:
            case Do():
                self.note((step.state, step.holes), env)
                self.do(step, env)
            case Within():
                return self._within(step, env)
            case Assign() | Store() | Evaluate():
                self._plain(step, env)
            case If():
                return self._if(step, env)
            case For():
                self.note(step.items, env)
                return self._for(step, env)
            case While():
                return self._while(step, env)
            case Break():
                self._loops[-1].breaks.append(env)
                return None
            case Continue():
                self._loops[-1].continues.append(env)
                return None
            case Return(value=value):
                self.note(value, env)
                self._returns.append(env)
                return None
            case Raise(message=message):
                self.note(message, env)
                return None
            case Fork():
                self._fork(step, env)
            case Join():
                self.join_group(step, env)
            case Invoke():
                return self._invoke(step, env)
            case HostCall():
                self.note((step.arguments, step.keywords), env)
                if step.out is not None:
                    self.bind(step.out, None, env)
            case _:
                assert_never(step)
        return env

    def _plain(self, step: Assign | Store | Evaluate, env: Env) -> None:
        match step:
            case Assign(target=target, value=value):
                self.note(value, env)
                self.assign(target, value, env)
            case Store():
                self.note((step.container, step.index, step.value), env)
                if self.ref(step.container, env) is not None:
                    self.store(step, env)
            case Evaluate(value=value):
                self.note(value, env)

    def _within(self, step: Within, env: Env) -> Env | None:
        self.note((step.state, step.name), env)
        self.begin(step, env)
        ways = [self._returns, *((w.breaks, w.continues)[i] for w in self._loops for i in (0, 1))]
        before = [len(way) for way in ways]
        after = self._block(step.body, env)
        left = [env for way, count in zip(ways, before, strict=True) for env in way[count:]]
        for env_left in (*left, *([] if after is None else [after])):
            self.end(step, env_left)
        return after

    # ---- branches and loops

    def _if(self, step: If, env: Env) -> Env | None:
        self.note(step.test, env)
        truth = self.truth(step.test, env)
        ends: list[Env] = []
        for outcome, body in ((True, step.then), (False, step.otherwise)):
            if truth is (not outcome):
                continue
            end = self._block(body, self.assume(step.test, outcome, env))
            if end is not None:
                ends.append(end)
        return join(ends, self.counter)

    def _for(self, step: For, env: Env) -> Env | None:
        rounds = rounds_of(step.items, env, self)
        if rounds is None or len(rounds) > MAX_ROUNDS or self._spent[0] > MAX_STEPS:
            shape = self.shape(step.items, env)
            if is_summary(shape):
                return self._each_branch(step, shape, env)
            return self._repeated(step, env)
        loop = self._enter()
        now = env
        for item in rounds:
            bind_item(step.target, item, now)
            after = self._round(step.body, now, loop)
            if after is None:
                self._loops.pop()
                return self._after(step, None, loop)
            now = after
        self._loops.pop()
        return self._after(step, now, loop)

    def _while(self, step: While, env: Env) -> Env | None:
        loop = self._enter()
        now = env
        for _ in range(MAX_ROUNDS):
            truth = self.truth(step.test, now)
            if truth is not True or self._spent[0] > MAX_STEPS or isinstance(step.test, Const):
                break
            self.note(step.test, now)
            after = self._round(step.body, now, loop)
            if after is None:
                self._loops.pop()
                return self._after(step, None, loop)
            now = after
        self._loops.pop()
        self.note(step.test, now)
        if self.truth(step.test, now) is False:
            return self._after(step, now, loop)
        rest = self._repeated(step, now)
        return join([*loop.breaks, *([] if rest is None else [rest])], self.counter)

    def _repeated(self, step: For | While, env: Env) -> Env | None:
        """A loop that a run decides: passes over its body until nothing moves."""
        head, loop, ends = env, _Loop(), list[Env]()
        for count in range(MAX_PASSES):
            loop = self._enter()
            now = head.copy()
            if isinstance(step, For):
                self.bind(step.target, self.shape(step.items, now), now)
            else:
                self.note(step.test, now)
                now = self.assume(step.test, True, now)
            end = self._block(step.body, now)
            self._loops.pop()
            ends = [*loop.continues, *([] if end is None else [end])]
            met = join([head, *ends], self.counter)
            assert met is not None
            if count and is_settled(met, head):
                break
            head = widened(met, head)
        if isinstance(step, While) and self.truth(step.test, head) is True:
            return join(loop.breaks, self.counter)
        done = join(ends, self.counter, lenient=env)
        if not ends:  # every round leaves the loop
            done = env
        if done is not None and isinstance(step, While):
            done = self.assume(step.test, False, done)
        return self._after(step, done, loop)

    def _each_branch(self, step: For, shape: Shape, env: Env) -> Env | None:
        """A loop over the branches of a fork, whose number a run decides: one stands for all."""
        first = env.copy()
        self._enter()
        self.bind(step.target, shape, first)
        self._block(step.body, first)
        self._loops.pop()
        before = dict(env.usage)
        for name in assigned(step.body):
            env.bind(name, UNKNOWN)
        loop = self._enter()
        self.bind(step.target, shape, env)
        after = self._round(step.body, env, loop)
        self._loops.pop()
        done = self._after(step, after, loop)
        if done is not None:
            done.usage = {
                site: used if used == before.get(site) else unbounded(used)
                for site, used in done.usage.items()
            }
        return done

    def _round(self, body: tuple[Block, ...], env: Env, loop: _Loop) -> Env | None:
        loop.continues.clear()
        end = self._block(body, env)
        return join([*loop.continues, *([] if end is None else [end])], self.counter)

    def _enter(self) -> _Loop:
        self._loops.append(_Loop())
        return self._loops[-1]

    def _after(self, step: For | While, done: Env | None, loop: _Loop) -> Env | None:
        end = self._block(step.otherwise, done)
        return join([*loop.breaks, *([] if end is None else [end])], self.counter)

    # ---- states

    def _fork(self, step: Fork, env: Env) -> None:
        self.note((step.count, step.state), env)
        known = self.value(step.count, env)
        count = known.values[0] if known is not None and known.only else None
        is_known = isinstance(count, int) and 0 < count <= MAX_BRANCHES
        number = count if isinstance(count, int) and is_known else 1
        ref = self.ref(step.state, env)
        targets = env.targets(ref)
        parent = targets[0] if targets else None
        origin = State() if parent is None else env.states[parent]
        prompt = origin.tape.prompt(self.counter)
        states = tuple((*self._path, id(step), i) for i in range(number))
        for key in states:
            branch = origin.copy()
            branch.is_open |= len(targets) != 1
            branch.parent = parent
            branch.inherited = frozenset(
                site for variable in origin.variables.values() for site in variable.sites
            )
            if count != 1:
                branch.tape = branch.tape.forked(prompt)
            env.states[key] = branch
        env.bind(step.out, Local(ref=GroupRef(states, parent, not is_known)))

    def _invoke(self, step: Invoke, env: Env) -> Env | None:
        self.note((step.arguments, step.keywords), env)
        key = (*self._path, id(step), "invoked")
        program = self._functions.get(step.function)
        for state in env.states.values():
            state.tape = state.tape.shared()
        env.states[key] = State(tape=Tape(stored=Range(0, None)))
        if program is None or len(self._path) >= MAX_NESTING or id(step) in self._path:
            env.states[key].is_open = True
            env.usage[0] = Usage(*(Range(0, None),) * 6)  # of nobody knows what
            self._bind_state(step, key, env)
            return env
        given = dict(zip((p.name for p in program.parameters), step.arguments, strict=False))
        values = {name: self.value(node, env) for name, node in {**given, **step.keywords}.items()}
        outer = env.locals
        scope = Scope.of(program, self.trace, self.counter, self.scope.languages)
        callee = Flow(scope, self._functions, (*self._path, id(step)), self._spent)
        env.locals = callee.arguments(values, env)
        env.locals["s"] = Local(ref=StateRef(key))
        facts, env.facts, env.held = env.facts, {}, set()
        end = callee.run(env)
        if end is None:
            return None
        self.leave(end.states[key])
        end.locals, end.facts = outer, facts
        self._bind_state(step, key, end)
        return end

    def _bind_state(self, step: Invoke, key: tuple[object, ...], env: Env) -> None:
        if step.out is not None:
            for name in names_of(step.out):
                env.bind(name, Local(ref=StateRef(key)))

    def arguments(self, given: Mapping[str, Value], env: Env) -> dict[str, Local]:
        """The local names that a program begins with."""
        self.trace.programs[id(self.scope.program)] = self.scope.program
        found: dict[str, Local] = {}
        for parameter in self.scope.program.parameters:
            value = given.get(parameter.name)
            if parameter.name not in given and parameter.default is not None and self._path:
                value = self.value(parameter.default, env)
            pieces = UNKNOWN.pieces
            if value is not None and value.only and isinstance(value.values[0], str):
                pieces = (value.values[0],)
            found[parameter.name] = Local(value, pieces)
        return found


def walk(
    scope: Scope,
    functions: Mapping[str, Program],
    given: Mapping[str, Value],
    *,
    is_open: bool = False,
) -> Env | None:
    """Walk a program from its beginning.

    Args:
        scope: the program, and the trace that is filled.
        functions: what it invokes.
        given: values of arguments; one that is missing is left open.
        is_open: whether statements are missing, which may bind any variable.
    """
    flow = Flow(scope, functions)
    env = Env(states={("s",): State(is_open=is_open)})
    env.locals = flow.arguments(given, env)
    env.locals["s"] = Local(ref=StateRef(("s",)))
    end = flow.run(env)
    scope.trace.end = end
    if end is not None:
        scope.trace.usage = end.usage
        for state in end.states.values():
            flow.leave(state)
    return end

# SPDX-License-Identifier: MIT OR Apache-2.0
"""drgn on the memory of a guest, with commands for memcgs.

python memcg.py DUMP VMLINUX SYSTEM_MAP TYPES RELEASE [CODE]

DUMP is from QEMU's dump-guest-memory (kdump-zlib). VMLINUX has functions and
lines, TYPES the structures. Guests boot without KASLR, so the addresses of
SYSTEM_MAP are right. CODE is run in place of a prompt.
"""

import sys

import drgn
from drgn import Object
from drgn.helpers.common import escape_ascii_string
from drgn.helpers.linux import (
    cgroup_path,
    cpu_curr,
    css_for_each_child,
    find_task,
    for_each_online_cpu,
    for_each_task,
    per_cpu,
    task_cpu,
    task_state_to_char,
)

HELP = """\
memcgs()     every memcg: usage, limit, what it is over, debt, stocks, work
owes()       memcgs over their limit, and tasks that have to reconcile
tasks()      every task with its memcg and what it waits in
waits(PID)   the stack of a task, and who holds the lock that it waits for
running()    the stack of what runs on each CPU: after a crash, of who panicked
prog         the program, for all of drgn
"""

UNLIMITED_PAGES = (2**63 - 1) // 4096
PENDING = 1  # WORK_STRUCT_PENDING_BIT is bit 0
POLICIES = {0: "off", 1: "kmem"}


def load(dump, vmlinux, system_map, types, release):
    """The program: memory, symbols and types."""
    with open(system_map, encoding="ascii") as lines:
        symbols = {name: int(at, 16) for at, _, name in map(str.split, lines)}
    # What the kernel would say in a note, if it had CONFIG_VMCORE_INFO.
    info = "".join(
        f"{line}\n"
        for line in (
            f"OSRELEASE={release}",
            "PAGESIZE=4096",
            f"SYMBOL(init_uts_ns)={symbols['init_uts_ns']:x}",
            f"SYMBOL(swapper_pg_dir)={symbols['init_top_pgt']:x}",
            "KERNELOFFSET=0",
            "NUMBER(phys_base)=0",
            "NUMBER(pgtable_l5_enabled)=0",
            "NUMBER(sme_mask)=0",
        )
    )
    prog = drgn.Program(vmcoreinfo=info)
    prog.set_core_dump(dump)
    # First, so that its structures are found before the incomplete ones of vmlinux.
    prog.extra_module("types", create=True).try_file(types, force=True)
    prog.type("struct mem_cgroup")
    prog.load_debug_info([vmlinux])
    return prog


def typed(name, kind):
    """A variable: its address is a symbol, its type one of TYPES."""
    return Object(prog, kind, address=prog.symbol(name).address)


def root():
    return typed("root_mem_cgroup", "struct mem_cgroup *")


def path(memcg):
    return cgroup_path(memcg.css.cgroup).decode()


def below(memcg):
    """A memcg and all below it, parents first."""
    yield memcg
    for css in css_for_each_child(memcg.css.address_of_()):
        yield from below(drgn.container_of(css, "struct mem_cgroup", "css"))


def kib(pages):
    return f"{pages * 4} KiB"


def debt(memcg):
    """Pages over the limit."""
    return memcg.memory.usage.counter.value_() - memcg.memory.max.value_()


def member(value, name):
    return value.member_(name) if has(value.type_, name) else None


def has(kind, name):
    while kind.kind in (drgn.TypeKind.POINTER, drgn.TypeKind.TYPEDEF):
        kind = kind.type
    return any(each.name == name for each in kind.members)


def owner(lock):
    """The task that holds a mutex or an rwsem; the lowest bits are flags."""
    at = lock.owner.counter.value_() & (2**64 - 1) & ~7
    return Object(prog, "struct task_struct *", value=at) if at else None


def named(task):
    return f"{task.pid.value_()} {escape_ascii_string(task.comm.string_())}"


def stocks(memcg):
    """Pages and bytes that CPUs hold for a memcg, as (cpu, pages, bytes)."""
    base = typed("memcg_stock", "struct memcg_stock_pcp")
    if not has(base.type_, "cached_objcg"):
        return  # 6.17 and later keep several memcgs for each CPU.
    for cpu in for_each_online_cpu(prog):
        stock = per_cpu(base, cpu)
        pages = stock.nr_pages.value_() if stock.cached == memcg else 0
        objcg = stock.cached_objcg
        held = stock.nr_bytes.value_() if objcg and objcg.memcg == memcg else 0
        if pages or held:
            yield cpu, pages, held


def overcharge(memcg):
    """What the series keeps of a memcg, if the kernel has it."""
    over = member(memcg, "overcharge")
    if over is None or not over:
        return None
    parts = [f"memory.overcharge {POLICIES.get(over.policy.value_(), '?')}"]
    work = member(over, "work")
    if work is not None:
        pending = work.work.data.counter.value_() & PENDING
        parts.append("work pending" if pending else "no work pending")
    lock = member(over, "lock")
    if lock is not None:
        holder = owner(lock)
        parts.append(f"reconciled by {named(holder)}" if holder else "nobody reconciles")
    return ", ".join(parts)


def memcgs():
    """Prints every memcg."""
    for memcg in below(root()):
        usage, limit = memcg.memory.usage.counter.value_(), memcg.memory.max.value_()
        limited = limit < UNLIMITED_PAGES
        text = f"{path(memcg)}: usage {kib(usage)}"
        if limited:
            text += f", limit {kib(limit)}"
        print(text)
        if limited and usage > limit:
            print(f"  OVER THE LIMIT by {kib(usage - limit)}")
        over = overcharge(memcg)
        if over:
            print(f"  {over}")
        for cpu, pages, held in stocks(memcg):
            print(f"  stock of CPU {cpu}: {kib(pages)}, {held} bytes of objects")


def memcg_of(task):
    """The memcg of a task."""
    subsys = prog.constant("memory_cgrp_id")
    css = task.cgroups.subsys[subsys]
    return drgn.container_of(css, "struct mem_cgroup", "css")


def owes():
    """Prints who has to bring which memcg back to its limit."""
    nobody = True
    for memcg in below(root()):
        if memcg.memory.max.value_() < UNLIMITED_PAGES and debt(memcg) > 0:
            nobody = False
            print(f"{path(memcg)} is over its limit by {kib(debt(memcg))}")
            print(f"  {overcharge(memcg) or 'this kernel does not reconcile'}")
    for task in for_each_task(prog):
        pages = task.memcg_nr_pages_over_high.value_()
        if pages:
            nobody = False
            print(f"task {named(task)} of {path(memcg_of(task))} owes {pages} pages")
    if nobody:
        print("nobody: no memcg is over its limit")


def frames(task):
    try:
        # What follows the entry from user space is no kernel code.
        return [frame for frame in prog.stack_trace(task) if frame.pc >> 63]
    except (ValueError, LookupError) as error:
        return [f"no stack: {error}"]


SCHEDULER = ("context_switch", "__schedule", "__schedule_loop", "schedule")


def waits_in(task):
    """The first function that is not the scheduler's."""
    if task.on_cpu.value_():
        return f"runs on CPU {task_cpu(task)}"
    for frame in frames(task):
        name = frame if isinstance(frame, str) else frame.name
        if not name.startswith(SCHEDULER):
            return name
    return "?"


STACK_BYTES = 16384
WAITERS_MAX = 10000


def held_by(task):
    """The task that holds the lock which a task sleeps for, and the kind of lock.

    The waiter is on the stack of the task and linked into the lock. Both kinds
    of waiter begin with the link and the task; the only link that is on no
    stack is that of the lock.
    """
    names = [frame.name for frame in frames(task) if not isinstance(frame, str)]
    if any(name.startswith("rwsem_down") for name in names):
        kind = "struct rw_semaphore"
    elif any(name.startswith("__mutex_lock") for name in names):
        kind = "struct mutex"
    else:
        return None
    bottom = task.stack.value_()
    words = memoryview(prog.read(bottom, STACK_BYTES)).cast("Q")
    stacks = {each.value_(): each.stack.value_() for each in for_each_task(prog)}
    for index, word in enumerate(words):
        link = bottom + 8 * index - 16
        head = head_of(link, stacks) if word == task.value_() and link >= bottom else None
        if head:
            link = Object(prog, "struct list_head *", value=head)
            holder = owner(drgn.container_of(link, kind, "wait_list"))
            if holder and holder.value_() in stacks:
                return holder, kind
    return None


def head_of(link, stacks):
    """The only link of a list that is on no stack; None if it is no such list."""
    at, heads = link, []
    for _ in range(WAITERS_MAX):
        try:
            stack, after = stacks.get(prog.read_u64(at + 16)), prog.read_u64(at)
        except drgn.FaultError:
            return None
        if stack is None or not stack <= at < stack + STACK_BYTES:
            heads.append(at)
        at = after
        if at == link:
            return heads[0] if len(heads) == 1 else None
    return None


def tasks():
    """Prints every task."""
    for task in for_each_task(prog):
        state = task_state_to_char(task)
        print(f"{named(task):24} {state} {path(memcg_of(task)):20} {waits_in(task)}")


def running():
    """Prints what runs on each CPU, idle tasks too, with its stack."""
    for cpu in for_each_online_cpu(prog):
        task = cpu_curr(prog, cpu)
        print(f"CPU {cpu}: {named(task)}, memcg {path(memcg_of(task))}")
        print("\n".join(str(frame) for frame in frames(task)))


def waits(pid):
    """Prints the stack of a task, and who holds what reconciling takes."""
    task = find_task(prog, pid)
    if not task:
        print(f"there is no task {pid}")
        return
    print(f"{named(task)}, state {task_state_to_char(task)}, memcg {path(memcg_of(task))}")
    print("\n".join(str(frame) for frame in frames(task)))
    found = held_by(task)
    if found:
        holder, kind = found
        print(f"waits for a {kind} that {named(holder)} holds, which is here:")
        print("\n".join(str(frame) for frame in frames(holder)))
    for memcg in below(root()):
        over = member(memcg, "overcharge")
        lock = member(over, "lock") if over else None
        holder = owner(lock) if lock is not None else None
        if holder:
            print(f"{path(memcg)} is being reconciled by {named(holder)}")


def main():
    global prog
    prog = load(*sys.argv[1:6])
    names = ("memcgs", "owes", "tasks", "waits", "running", "prog")
    commands = {name: globals()[name] for name in names}
    if len(sys.argv) > 6:
        exec(sys.argv[6], {**globals(), **commands})
        return
    from drgn.cli import run_interactive

    run_interactive(
        prog,
        banner_func=lambda banner: f"{banner}\n\n{HELP}",
        globals_func=lambda names: {**names, **commands},
    )


if __name__ == "__main__":
    main()

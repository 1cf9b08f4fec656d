// SPDX-License-Identifier: MIT OR Apache-2.0
//! `main()` of a program, and what runs when it ends.

use protocol::{MemcgRole, MemcgWrite};

use super::Check;
use super::loads::{Load, Place};
use super::source::quoted;
use crate::plan::Cell;
use crate::taxonomy::FactName;

/// A memcg that the program makes.
pub(super) struct Memcg<'a> {
    role: MemcgRole,
    /// Of the constant with its folder.
    pub(super) name: &'static str,
    /// What the names of its other constants begin with.
    pub(super) prefix: &'static str,
    pub(super) limit_bytes: u64,
    pub(super) hog_bytes: u64,
    writes: &'a [MemcgWrite],
    policy: &'a [MemcgWrite],
}

/// The memcgs of a cell, parents first.
pub(super) fn memcgs(cell: &Cell) -> Vec<Memcg<'_>> {
    let request = &cell.request;
    let limited = Memcg {
        role: MemcgRole::Limited,
        name: "LIMITED",
        prefix: "",
        limit_bytes: request.limit_bytes,
        hog_bytes: request.hog_bytes,
        writes: &request.writes,
        policy: &request.policy,
    };
    let shapes = [
        (MemcgRole::Parent, "PARENT", "PARENT_", &request.parent),
        (MemcgRole::Second, "SECOND", "SECOND_", &request.second),
    ];
    let [parent, second] = shapes.map(|(role, name, prefix, shape)| {
        shape.as_ref().map(|shape| Memcg {
            role,
            name,
            prefix,
            limit_bytes: shape.limit_bytes,
            hog_bytes: shape.hog_bytes,
            writes: &shape.writes,
            policy: &shape.policy,
        })
    });
    parent.into_iter().chain([limited]).chain(second).collect()
}

/// Names of the controller's files, in cgroup v2.
struct Files {
    max: &'static str,
    current: &'static str,
    peak: &'static str,
    /// The file and the key that count how often the limit was met.
    hits: [&'static str; 2],
    /// The same of OOM kills.
    kills: [&'static str; 2],
}

const V2: Files = Files {
    max: "memory.max",
    current: "memory.current",
    peak: "memory.peak",
    hits: ["memory.events", "max "],
    kills: ["memory.events", "oom_kill "],
};

/// The function that runs the test, in a process of its own: all tasks are killed when it ends.
pub(super) fn run(cell: &Cell, load: &Load, checks: &[Check]) -> String {
    let made = memcgs(cell);
    let files = V2;
    let timed = checks.iter().any(|check| *check != Check::InCharge);
    let logged = checks.contains(&Check::InCharge);
    let mut lines = Lines::default();
    lines.add_if(timed, "bool in_time;");
    lines.add_if(logged, "int kmsg;");
    lines.add_if(timed || logged, "");
    for memcg in &made {
        set_up(&mut lines, memcg, &files);
    }
    lines.add_if(load.place == Place::Tmpfs, "enter_tmpfs();");
    lines.add_if(logged, "kmsg = open(\"/dev/kmsg\", O_RDONLY | O_NONBLOCK);");
    lines.add_if(logged, "lseek(kmsg, 0, SEEK_END);");
    lines.add("start_tasks();");
    for Memcg { name, prefix, .. } in made.iter().filter(|memcg| memcg.hog_bytes > 0) {
        let current = files.current;
        lines.add(format!("start_hog({name} \"cgroup.procs\", {name} \"{current}\","));
        lines.add(format!("\t  {prefix}LIMIT, {prefix}HOG);"));
    }
    lines.add(if timed { "in_time = run_tasks();" } else { "run_tasks();" });
    lines.add("");
    if reaches_its_limit(cell) {
        let [file, key] = files.hits;
        let with_tasks = made.iter().filter(|memcg| memcg.role != MemcgRole::Second);
        let hits =
            with_tasks.map(|memcg| format!("cg_read({} \"{file}\", \"{key}\") <= 0", memcg.name));
        lines.add(format!("if ({})", hits.collect::<Vec<_>>().join(" &&\n\t    ")));
        lines.add("\tskip(\"the limit was not reached\");");
    }
    let results = results(cell, &made, &files, checks);
    lines.add(format!("printf(\"1..{}\\n\");", results.len()));
    results.into_iter().for_each(|line| lines.add(line));
    lines.add("return failures ? EXIT_FAILURE : EXIT_SUCCESS;");
    lines.function("static int run(void)")
}

/// The function that starts it and removes what it leaves.
pub(super) fn main(cell: &Cell) -> String {
    let mut lines = Lines::default();
    ["int status, tries = 1000;", "pid_t pid;", "", "setlinebuf(stdout);"]
        .into_iter()
        .chain(["printf(\"TAP version 13\\n\");"])
        .for_each(|line| lines.add(line));
    root(&mut lines);
    for line in ["pid = fork();", "if (!pid)", "\texit(run());", "waitpid(pid, &status, 0);"] {
        lines.add(line);
    }
    let made = memcgs(cell);
    lines.add("/* The tasks die with it; their children may not. */");
    lines.add("do {");
    lines.add("\tpid = cg_read(LIMITED \"cgroup.procs\", \"\");");
    lines.add("\tif (pid > 0)");
    lines.add("\t\tkill(pid, SIGKILL);");
    lines.add("\tusleep(10000);");
    let gone = |memcg: &Memcg<'_>| format!("unlinkat(cg_root, {}, AT_REMOVEDIR)", memcg.name);
    made.iter().skip(1).for_each(|memcg| lines.add(format!("\t{};", gone(memcg))));
    let last = made.first().map(gone).unwrap_or_default();
    lines.add(format!("}} while ({last} && errno == EBUSY && --tries);"));
    lines.add("return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;");
    lines.function("int main(void)")
}

/// The body of a function.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }

    fn add_if(&mut self, wanted: bool, line: &str) {
        self.0.extend(wanted.then(|| line.to_owned()));
    }

    fn function(self, head: &str) -> String {
        let indented = self.0.iter().map(|line| match line.is_empty() {
            true => "\n".to_owned(),
            false => format!("\t{line}\n"),
        });
        format!("{head}\n{{\n{}}}", indented.collect::<String>())
    }
}

/// Opens the root of the hierarchy.
fn root(lines: &mut Lines) {
    for line in [
        "cg_root = open(\"/sys/fs/cgroup\", O_RDONLY | O_DIRECTORY);",
        "if (geteuid() || faccessat(cg_root, \"cgroup.subtree_control\", W_OK, 0))",
        "\tskip(\"needs root and cgroup v2\");",
        "cg_write(\"cgroup.subtree_control\", \"+memory\");",
    ] {
        lines.add(line);
    }
}

/// Makes a memcg and writes to it.
fn set_up(lines: &mut Lines, memcg: &Memcg<'_>, files: &Files) {
    let Memcg { role, name, prefix, writes, policy, .. } = memcg;
    let write = |MemcgWrite { file, value }: &MemcgWrite| {
        let value = quoted(value).replace('%', "%%");
        format!("cg_write({name} {}, {value});", quoted(file))
    };
    lines.add(format!("if (mkdirat(cg_root, {name}, 0755))"));
    lines.add(format!("\tdie({name});"));
    if *role == MemcgRole::Parent {
        lines.add(format!("cg_write({name} \"cgroup.subtree_control\", \"+memory\");"));
    }
    lines.add(format!("cg_write({name} \"{}\", \"%ld\", {prefix}LIMIT);", files.max));
    writes.iter().for_each(|one| lines.add(write(one)));
    if let Some(first) = policy.first() {
        lines.add("/* Only a kernel with the change has these files. */");
        let file = quoted(&first.file);
        let several = policy.len() > 1;
        let brace = if several { " {" } else { "" };
        lines.add(format!("if (!faccessat(cg_root, {name} {file}, F_OK, 0)){brace}"));
        policy.iter().for_each(|one| lines.add(format!("\t{}", write(one))));
        lines.add_if(several, "}");
    }
}

/// A line for each test.
fn results(cell: &Cell, made: &[Memcg<'_>], files: &Files, checks: &[Check]) -> Vec<String> {
    let request = &cell.request;
    let denied = |counters: &String| {
        let of = |memcg: &Memcg<'_>| {
            format!("cg_read({} {}, \"denied \")", memcg.name, quoted(counters))
        };
        made.iter().map(of).collect::<Vec<_>>().join(" +\n\t\t    ")
    };
    let denied = request.counters_file.as_ref().map_or("0".to_owned(), denied);
    let mut lines = vec![format!("check_calls({denied});")];
    for memcg in made {
        let (name, prefix, peak) = (memcg.name, memcg.prefix, files.peak);
        let bound = format!("{prefix}LIMIT{}", over(cell, memcg));
        lines.push(format!("check_peak(cg_read({name} \"{peak}\", \"\"),\n\t\t   {bound});"));
    }
    if request.killable || made.iter().any(|memcg| memcg.hog_bytes > 0) {
        lines.extend(made.iter().map(|Memcg { name, prefix, .. }| {
            format!("check_back({name} \"{}\", {prefix}LIMIT);", files.current)
        }));
    }
    let [file, key] = files.kills;
    lines.extend(checks.iter().map(|check| match check {
        Check::Returns => "result(in_time, \"every task gets to its end\");".to_owned(),
        Check::Time(_) => "result(in_time, \"all tasks are done or killed in time\");".to_owned(),
        Check::InCharge => {
            let name = made[0].name;
            format!("check_kills(kmsg, cg_read({name} \"{file}\", \"{key}\"));")
        }
    }));
    lines
}

/// What a memcg may go over its limit, as I2 has it.
fn over(cell: &Cell, memcg: &Memcg<'_>) -> String {
    let cap = cell.request.cap_file.as_ref().filter(|_| cell.overcharges_in(memcg.role));
    let cap = cap.map(|file| format!(" + cap({} {})", memcg.name, quoted(file)));
    let forced = (cell.forced_bytes > 0).then(|| " + FORCED + 64 * PAGE_ON_EACH_CPU".to_owned());
    [cap, forced].into_iter().flatten().collect()
}

/// Whether a run in which no limit was reached shows nothing.
fn reaches_its_limit(cell: &Cell) -> bool {
    let hits =
        |fact: &FactName| matches!(fact, FactName::Event(MemcgRole::Limited, key) if key == "max");
    !cell.expect.facts.iter().any(|condition| hits(&condition.fact) && condition.number == 0.0)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ci/slurm/` on a real Slurm: a cluster of one node on the loopback interface runs the night of a
//! small plan. Its matrix is three array tasks, of which one is killed and queued again.
//!
//! Contract: nothing of the system's own Slurm or MUNGE is touched: configuration, keys, sockets
//! and ports are the test's. `#[ignore]`d because it boots VMs and needs Debian's `slurm-wlm` and
//! `munge`; `cargo xtask test --install` has them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Two kernels and three policies of the patched one, on one interface.
const MATRIX: &str = r#"
kernels = ["baseline", "overcharge"]
baseline = "baseline"
scenarios = ["open-unkillable"]

[vm]
cpus = 2
memory = "512M"
"#;
/// The same every day.
const WEEK: &str = r#"
[[job]]
name = "open"
matrix = "slurm"
parts = 3

[[job]]
name = "kernels"
command = ["list", "kernels"]
"#;
/// A busy machine with two cores needs a third of this.
const NIGHT: Duration = Duration::from_secs(400);

/// A Slurm with one node. Dropping it ends its daemons.
struct Cluster {
    folder: TempDir,
    daemons: Vec<Child>,
}

impl Cluster {
    fn start() -> Self {
        let mut cluster =
            Self { folder: tempfile::tempdir().expect("a temporary folder"), daemons: Vec::new() };
        // MUNGE takes no socket in a folder that others cannot enter.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(cluster.folder.path(), open).expect("its mode");
        for folder in ["state", "spool"] {
            fs::create_dir(cluster.path(folder)).expect("a folder in it");
        }
        fs::write(cluster.path("slurm.conf"), cluster.config()).expect("a file in it");
        let key = cluster.path("munge.key");
        fs::write(&key, std::array::from_fn::<u8, 128, _>(|at| at as u8)).expect("a key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its mode");
        let place = |name: &str| cluster.path(name).display().to_string();
        let munged = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            format!("--key-file={}", place("munge.key")),
            format!("--socket={}", place("munge.socket")),
            format!("--pid-file={}", place("munged.pid")),
            format!("--seed-file={}", place("munged.seed")),
            format!("--log-file={}", place("munged.log")),
        ];
        cluster.daemon("munged", &munged);
        let socket = cluster.path("munge.socket");
        cluster.wait_until("MUNGE listens", || socket.exists());
        cluster.daemon("slurmctld", &["-D".to_owned(), "-c".to_owned()]);
        cluster.daemon("slurmd", &["-D".to_owned(), "-c".to_owned()]);
        cluster.wait_until("the node is up", || cluster.say("sinfo", &["-h"]).contains(" idle "));
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A job waits for its credential to expire before it is queued again: 120 s by default.
    fn config(&self) -> String {
        let host = output(Command::new("uname").arg("-n"));
        let host = host.trim().split('.').next().expect("a name");
        let [control, node] = [free_port(), free_port()];
        let folder = self.folder.path().display();
        format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={control}\n\
             SlurmdPort={node}\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\n\
             AuthInfo=socket={folder}/munge.socket,cred_expire=5\nCredType=cred/munge\n\
             CommunicationParameters=NoInAddrAny\nStateSaveLocation={folder}/state\n\
             SlurmdSpoolDir={folder}/spool\nSlurmctldPidFile={folder}/slurmctld.pid\n\
             SlurmdPidFile={folder}/slurmd.pid\nSlurmctldLogFile={folder}/slurmctld.log\n\
             SlurmdLogFile={folder}/slurmd.log\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\n\
             SlurmdParameters=config_overrides\nReturnToService=2\nKillWait=1\n\
             SchedulerParameters=batch_sched_delay=0,sched_interval=1\nMailProg=/bin/true\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=12 RealMemory=16000\n\
             PartitionName=all Nodes=ALL Default=YES State=UP\n"
        )
    }

    fn daemon(&mut self, name: &str, words: &[String]) {
        let mut command = Command::new(Path::new("/usr/sbin").join(name));
        command.args(words).env("SLURM_CONF", self.path("slurm.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.daemons.push(command.spawn().unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).env("SLURM_CONF", self.path("slurm.conf")).current_dir(workspace());
        command
    }

    fn say(&self, program: &str, words: &[&str]) -> String {
        let output = self.command(program, words).output().expect("Slurm is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < NIGHT, "not in time: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What Slurm and the jobs wrote.
    fn logs(&self) -> String {
        let find = ["-name", "*.log", "-exec", "tail", "-n", "15", "{}", "+"];
        output(Command::new("find").arg(self.folder.path()).args(find))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A killed slurmd would leave its steps.
        for child in self.daemons.iter_mut().rev() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

#[test]
#[ignore = "boots VMs and starts Slurm: `cargo xtask test` runs it"]
fn a_night_with_a_requeued_task_is_the_run_that_one_machine_makes() {
    let cluster = Cluster::start();
    let (results, night) = (cluster.path("results"), cluster.path("night"));
    let configs = configs(&cluster);
    let submitted = cluster
        .command("ci/slurm/night.sh", &[])
        .env("RESULTS", &results)
        .env("NIGHT", &night)
        .env("ACCEL", "tcg")
        .env(
            "XTASK",
            format!("{} --configs {}", env!("CARGO_BIN_EXE_memcg-harness"), configs.display()),
        )
        .output()
        .expect("the script starts");
    let said = String::from_utf8_lossy(&submitted.stdout).into_owned();
    assert!(submitted.status.success(), "{said}{}", String::from_utf8_lossy(&submitted.stderr));
    let job = |name: &str| {
        let (_, id) = said.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("{said}"));
        id.split_whitespace().next().expect("a number").to_owned()
    };

    let second = format!("{}_2", job("parts"));
    let state = |id: &str| cluster.say("squeue", &["-h", "-j", id, "-o", "%T"]).trim().to_owned();
    let begun = || parts(&night).iter().any(|(part, whole)| *part == 2 && !whole);
    cluster.wait_until("the second part runs", begun);
    let requeued = cluster.command("scontrol", &["requeue", &second]).status();
    assert!(requeued.expect("scontrol starts").success(), "{}", cluster.logs());
    cluster.wait_until("the night is over", || state(&job("digest")).is_empty());

    let shown = cluster.say("scontrol", &["show", "job", &second]);
    assert!(shown.contains("Restarts=1"), "{shown}");
    assert_eq!(parts(&night).iter().filter(|(part, _)| *part == 2).count(), 2, "torn and whole");
    let merge = fs::read_to_string(night.join("merge.log")).expect("the log of the merge");
    assert!(merge.contains("left out, because part 2 ran again"), "{merge}");
    assert!(night.join("junit.xml").exists(), "{merge}");
    let merged = result(&results);
    assert_eq!(merged["manifest"]["night"], true);
    let mail = fs::read_to_string(night.join("digest.txt")).expect("the digest writes it");
    for part in ["Subject: memcg night ", "slurm (tcg): ", "kernels: as expected"] {
        assert!(mail.contains(part), "{mail}");
    }
    assert!(!mail.contains("without a result"), "{mail}");
    let page = fs::read_to_string(results.join("history.html")).expect("the digest writes it");
    assert!(page.contains("-kernels.json\""), "a link to the record of the job: {page}");

    let whole = cluster.path("whole");
    let mut alone = Command::new(env!("CARGO_BIN_EXE_memcg-harness"));
    alone.args(["run-matrix", "--matrix", "slurm", "--accel", "tcg", "--results"]).arg(&whole);
    alone.arg("--configs").arg(&configs);
    let ended = alone.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("xtask starts");
    assert!(ended.success(), "{ended}");
    assert_eq!(told(&merged), told(&result(&whole)), "{}", whys(&merged));
    assert_eq!(merged["totals"]["not_run"], result(&whole)["totals"]["not_run"]);
    assert!(merged["comparisons"].to_string().contains("\"fixed\""), "{}", merged["comparisons"]);
}

/// A copy of the configs with a small matrix and a plan of the week that has it.
fn configs(cluster: &Cluster) -> PathBuf {
    let to = cluster.path("configs");
    let copied = Command::new("cp").arg("-r").arg(workspace().join("configs")).arg(&to).status();
    assert!(copied.expect("cp starts").success());
    fs::write(to.join("matrices/slurm.toml"), MATRIX).expect("a file in the copy");
    fs::write(to.join("nights/week.toml"), WEEK).expect("a file in the copy");
    let scenario = to.join("scenarios/open-unkillable.toml");
    let text = fs::read_to_string(&scenario).expect("the scenario");
    fs::write(&scenario, text.replace(r#"["v1", "v2"]"#, r#"["v2"]"#)).expect("the copy of it");
    to
}

/// The run folders of parts: which part, and whether it ended as planned.
fn parts(night: &Path) -> Vec<(u64, bool)> {
    let read =
        |path: PathBuf| -> Option<Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
    let folders = fs::read_dir(night.join("parts")).into_iter().flatten().flatten();
    let folders = folders.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
    let one = |folder: PathBuf| {
        let part = read(folder.join("part.json"))?["part"].as_u64()?;
        let result = read(folder.join("result.json"));
        Some((part, result.is_some_and(|result| result["manifest"]["interrupted"] == false)))
    };
    folders.filter_map(|entry| one(entry.path())).collect()
}

/// Cells and comparisons with their verdicts. Numbers differ from run to run.
fn told(result: &Value) -> Vec<Value> {
    let list = |name: &str| result[name].as_array().expect("a list").clone();
    let cells = list("cells").into_iter().map(|ran| {
        let says_nothing = ["ERROR", "INCONCLUSIVE"]
            .contains(&ran["first"]["judgement"]["verdict"].as_str().expect("a verdict"));
        let again = says_nothing && !ran["again"].is_null();
        let judgement = &ran[if again { "again" } else { "first" }]["judgement"];
        serde_json::json!([ran["cell"]["id"], judgement["verdict"], judgement["breaks"]])
    });
    let pairs = list("comparisons").into_iter();
    cells.chain(pairs.map(|pair| serde_json::json!([pair["cell"], pair["outcome"]]))).collect()
}

/// Why each attempt was judged as it was.
fn whys(result: &Value) -> String {
    let cells = result["cells"].as_array().expect("a list").iter();
    let why = |ran: &Value| format!("{}\n{}\n", ran["first"]["judgement"], ran["again"]);
    cells.map(why).collect()
}

fn result(results: &Path) -> Value {
    let path = results.join("latest/result.json");
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

/// Taken and given back: the next to ask gets another one.
fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback interface");
    socket.local_addr().expect("an address").port()
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

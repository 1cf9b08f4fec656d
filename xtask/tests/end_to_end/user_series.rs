// SPDX-License-Identifier: MIT OR Apache-2.0
//! Somebody's own patches: from an mbox, a maildir that `b4` wrote, or a range of commits to
//! verdicts beside the baseline, and to the documented exit code where that cannot be.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Bench, Ran, counted};
use crate::python;

/// Printed by the kernel with the first patch.
const MARK: &str = "own series: it is in";

/// What the thread of mails is read by; all that it needs, with versions.
const B4: [&str; 15] = [
    "b4==0.16.0",
    "certifi==2026.10.18",
    "cffi==2.1.1",
    "charset-normalizer==3.5.2",
    "dkimpy==1.1.8",
    "dnspython==2.9.2",
    "ezgb==0.2.1",
    "idna==3.20",
    "liblore==0.10.1",
    "patatt==0.8.0",
    "pycparser==3.12",
    "pygit2==1.21.0",
    "PyNaCl==1.6.2",
    "requests==2.34.2",
    "urllib3==2.8.0",
];

#[track_caller]
fn sh(folder: &Path, script: &str) -> String {
    let output = Command::new("sh").current_dir(folder).args(["-ec", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A repository with the two files of the unpatched kernel that the patches change, tagged `base`,
/// and two commits on it: one that says that it is there (`good`), and one that warns where a memcg
/// is at its limit (`bad`).
fn repository(bench: &Bench) -> PathBuf {
    let printed = bench.run(&["build-kernel", "baseline", "--print-image"]);
    let image = PathBuf::from(printed.expect_exit(0).stdout.trim());
    let manifest = fs::read_to_string(image.with_file_name("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let cache = image.ancestors().nth(3).expect("images are in the cache");
    let source = manifest["source_id"].as_str().expect("a source");
    let from = cache.join("sources").join(source).join("tree/mm/memcontrol.c");
    let repository = bench.folder.path().join("linux");
    fs::create_dir_all(repository.join("mm")).unwrap();
    let file = repository.join("mm/memcontrol.c");
    let commit = |text: &str, subject: &str, tag: &str| {
        fs::write(&file, text).unwrap();
        sh(&repository, &format!("git add mm; git commit -qm '{subject}'; git tag {tag}"));
    };
    sh(&repository, "git init -q .; git config user.name A; git config user.email a@example.org");
    let base = fs::read_to_string(from).unwrap();
    commit(&base, "base", "base");
    let change = |text: &str, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    };
    let init = "static int __init mem_cgroup_init(void)\n{\n\tint cpu;\n\n";
    let good = change(&base, init, &format!("{init}\tpr_info(\"{MARK}\\n\");\n"));
    commit(&good, "mm: memcg: say that it is there", "good");
    let full = "\tif (order > PAGE_ALLOC_COSTLY_ORDER)\n\t\treturn false;\n\n\tmemcg_memory_event(memcg, MEMCG_OOM);\n";
    commit(&change(&good, full, &format!("{full}\tWARN_ON_ONCE(1);\n")), "mm: memcg: warn", "bad");
    repository
}

const CELLS: [&str; 4] = ["--matrix", "smoke", "--filter", "open-unkillable.v2"];

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn an_mbox_is_compared_with_the_baseline_and_a_bug_in_it_is_a_regression() {
    let bench = Bench::new();
    let repository = repository(&bench);
    let mbox = bench.folder.path().join("own.mbx");
    fs::write(&mbox, sh(&repository, "git format-patch --stdout base..good")).unwrap();
    let mut arguments = vec!["run-matrix", "--series", mbox.to_str().unwrap()];
    arguments.extend(CELLS);
    bench
        .run(&arguments)
        .expect_exit(0)
        .expect_output("SAME ")
        .expect_output("1 of 1 changed function ran")
        .expect_error("0001-mm-memcg-say-that");
    let result = bench.result();
    let outcomes = |result: &serde_json::Value| -> Vec<String> {
        let sides = result["comparisons"].as_array().expect("a list").iter();
        sides.map(|side| side["outcome"].as_str().expect("an outcome").to_owned()).collect()
    };
    assert_eq!(outcomes(&result), ["same"], "{result:#}");
    for ran in result["cells"].as_array().expect("cells") {
        assert_eq!(counted(ran)["breaks"], serde_json::json!(["I1"]), "{ran:#}");
        let folder = bench.results().join("latest").join(ran["first"]["folder"].as_str().unwrap());
        let console = fs::read_to_string(folder.join("console.log")).unwrap();
        assert_eq!(
            console.contains(MARK),
            ran["cell"]["kernel"] == "series",
            "{}",
            folder.display()
        );
    }
    let kept = bench.results().join("latest/series/0001-mm-memcg-say-that-it-is-there.patch");
    assert!(fs::read_to_string(&kept).unwrap().contains(MARK), "{}", kept.display());

    // The printed command needs no mbox.
    let cell = "open-unkillable.v2.series.mainline";
    let shown = bench.run(&["show", cell]);
    let again = shown.expect_exit(0).stdout.lines().rfind(|line| line.contains("cargo xtask"));
    let words = again.expect("a command").trim().trim_start_matches("cargo xtask ");
    fs::rename(&mbox, bench.folder.path().join("gone")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("\"$0\" {words}"), env!("CARGO_BIN_EXE_memcg-harness")]);
    command.env("XDG_CONFIG_HOME", bench.folder.path()).env("NO_COLOR", "1");
    Ran::of(command.output().unwrap()).expect_exit(0).expect_output("1 cell: 1 as expected");
    fs::rename(bench.folder.path().join("gone"), &mbox).unwrap();

    // A plan carries the series to machines that have no mbox.
    let plan = bench.folder.path().join("plan.json").display().to_string();
    let words = [&["plan", "--parts", "2", "--output", &plan], &arguments[1..]].concat();
    bench.run(&words).expect_exit(0).expect_output("series: ");
    fs::remove_file(&mbox).unwrap();
    for share in ["1/2", "2/2"] {
        bench.run(&["run-matrix", "--plan", &plan, "--partition", share]).expect_exit(0);
    }
    let parts = bench.results().join("parts").display().to_string();
    bench.run(&["merge", &parts]).expect_exit(0).expect_output("SAME ");
    assert_eq!(outcomes(&bench.result()), ["same"]);
    let kept = bench.results().join("latest/series/0001-mm-memcg-say-that-it-is-there.patch");
    assert!(fs::read_to_string(&kept).unwrap().contains(MARK), "{}", kept.display());

    // Both commits: no rule is broken that the baseline keeps, but the kernel warns.
    let range = format!("{}@base..bad", repository.display());
    let mut arguments = vec!["run-matrix", "--series", &range];
    arguments.extend(CELLS);
    let ran = bench.run(&arguments);
    ran.expect_exit(1).expect_output("CRASH").expect_output("1 REGRESSED");
    assert_eq!(outcomes(&bench.result()), ["regressed"]);
}

#[test]
#[ignore = "needs the source of the baseline: `cargo xtask test` builds the kernels and runs it"]
fn a_series_that_does_not_apply_or_is_not_whole_is_named() {
    let bench = Bench::new();
    let repository = repository(&bench);
    // Its base has the first commit already.
    let range = format!("{}@good..bad", repository.display());
    let broken =
        sh(&repository, "git format-patch --stdout good..bad").replace("PAGE_ALLOC", "PAGE_ALOC");
    let mbox = bench.folder.path().join("broken.mbx");
    fs::write(&mbox, broken.replace("memcg_memory_event(memcg", "event(memcg")).unwrap();
    let run = |series: &str| {
        let mut arguments = vec!["run-matrix", "--series", series];
        arguments.extend(CELLS);
        bench.run(&arguments)
    };
    run(mbox.to_str().unwrap())
        .expect_exit(5)
        .expect_error("0001-mm-memcg-warn.patch does not apply")
        .expect_error("mm/memcontrol.c: hunk 1 fails")
        .expect_error("+\tWARN_ON_ONCE(1);");
    fs::write(&mbox, sh(&repository, "git format-patch --stdout -n base..bad")).unwrap();
    let half = fs::read_to_string(&mbox).unwrap().replace("[PATCH 1/2]", "[PATCH 0/2]");
    fs::write(&mbox, half).unwrap();
    run(mbox.to_str().unwrap()).expect_exit(5).expect_error("missing: 1 (found: 2)");
    run("gone.mbx").expect_exit(2).expect_error("gone.mbx: no such file");
    assert!(!bench.results().join("latest").exists(), "a run folder was made");
    // It applies at an offset; a script of the kernel looks at it, and nothing is built.
    let lint = bench.run(&["check-series", "--lint", "--series", &range]);
    lint.expect_output("0001-mm-memcg-warn.patch");
}

#[test]
#[ignore = "installs b4 from PyPI: `cargo xtask test` runs it"]
fn what_b4_makes_of_a_thread_is_read_as_an_mbox_and_as_a_maildir() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    let id = thread(&bench);
    let b4 = b4();
    let am = |how: &str| {
        let command = format!(
            "HOME=$PWD {b4} --offline-mode -n -c attestation-policy=off am {how} -m thread -o made {id} </dev/null"
        );
        sh(folder, &command);
    };
    am("");
    am("-M");
    let made = |ending: &str| -> String {
        let found = sh(folder, &format!("ls -d made/*.{ending}"));
        folder.join(found.trim()).display().to_string()
    };
    for series in [made("mbx"), made("maildir"), folder.join("sent").display().to_string()] {
        let run = ["run-matrix", "--dry-run", "--series", &series];
        bench
            .run(&run)
            .expect_exit(0)
            .expect_error("0001-mm-memcg-say-that-it-is-there.patch\n  0002-mm-memcg-warn.patch\n")
            .expect_output("open-unkillable.v2.series.mainline");
    }
    // What was answered has come into the patch.
    let lint = bench.run(&["check-series", "--lint", "--series", &made("mbx")]);
    lint.expect_output("0002-mm-memcg-warn.patch");
    let kept = bench.results().join("latest/series/0001-mm-memcg-say-that-it-is-there.patch");
    assert!(fs::read_to_string(kept).unwrap().contains("\nAcked-by: B <b@example.org>\n"));
}

#[test]
#[ignore = "installs b4 from PyPI: `cargo xtask test` runs it"]
fn the_thread_of_a_message_id_is_fetched_from_its_archive() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    let id = thread(&bench);
    sh(folder, &format!("mkdir -p archive/all/{id}; gzip -c thread > archive/all/{id}/t.mbox.gz"));
    let python = python::with("b4", &B4.join("\n")).join("bin/python");
    let mut server = Command::new(python)
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", "archive"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let port = said.split_whitespace().nth(5).unwrap_or_else(|| panic!("{said}"));
    let settings = format!(
        "[b4]\n\tmidmask = http://127.0.0.1:{port}/all/%s\n\tlinkmask = http://127.0.0.1:{port}/r/%s\n\tattestation-policy = off\n"
    );
    fs::write(folder.join("settings"), settings).unwrap();
    let programs = folder.join("programs");
    sh(
        folder,
        &format!(
            "mkdir programs; printf '#!/bin/sh\nexec {} \"$@\"\n' > programs/b4; chmod +x programs/b4",
            b4()
        ),
    );
    let lint = |series: &str, programs: &Path| {
        let mut command = bench.command(&["check-series", "--lint", "--series", series]);
        let path = format!("{}:/usr/bin:/bin", programs.display());
        Ran::of(
            command
                .env("GIT_CONFIG_GLOBAL", folder.join("settings"))
                .env("PATH", path)
                .output()
                .unwrap(),
        )
    };
    for series in [id.clone(), format!("http://127.0.0.1:{port}/all/{id}/T/#u")] {
        lint(&series, &programs)
            .expect_error("`b4 am` made v2_")
            .expect_error("0001-mm-memcg-say-that-it-is-there.patch\n  0002-mm-memcg-warn.patch\n");
    }
    lint("no-such@example.org", &programs)
        .expect_exit(5)
        .expect_error("`b4 am` made no mailbox")
        .expect_error("so it was taken for a message-id");
    lint(&id, Path::new("/nowhere")).expect_exit(3).expect_error("which b4 fetches");
    server.kill().unwrap();
    server.wait().unwrap();
}

/// A thread in the file `thread`, its patches in `sent/`; returns the message-id of the first.
fn thread(bench: &Bench) -> String {
    let repository = repository(bench);
    let folder = bench.folder.path();
    sh(&repository, "git format-patch -q -n -v2 --thread --cover-letter -o ../sent base..bad");
    sh(
        folder,
        "sed -i 's/^Subject: .PATCH v2 0.*/Subject: [PATCH v2 0\\/2] mm: memcg: both/' sent/*cover*",
    );
    // As an archive has them: each after a line that says when, and an answer with a tag among
    // them.
    sh(
        folder,
        "for mail in sent/*; do tail -n +2 $mail | sed '1i From mboxrd@z Thu Jan  1 00:00:00 1970'; done > thread",
    );
    let id =
        sh(folder, "sed -n 's/^Message-I[Dd]: <\\(.*\\)>$/\\1/p' sent/v2-0001*").trim().to_owned();
    let answer = format!(
        "\nFrom mboxrd@z Thu Jan  1 00:00:00 1970\nFrom: B <b@example.org>\nMessage-ID: <answer@example.org>\n\
         In-Reply-To: <{id}>\nReferences: <{id}>\nDate: Tue, 6 Jan 2026 10:00:00 +0000\n\
         Subject: Re: [PATCH v2 1/2] mm: memcg: say that it is there\n\n> + it\n\nAcked-by: B <b@example.org>\n"
    );
    let thread = fs::read_to_string(folder.join("thread")).unwrap() + &answer;
    fs::write(folder.join("thread"), thread).unwrap();
    id
}

/// The command line that begins with `b4`.
fn b4() -> String {
    let bin = python::with("b4", &B4.join("\n")).join("bin");
    format!("{} {}", bin.join("python").display(), bin.join("b4").display())
}
